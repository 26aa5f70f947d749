package main

import (
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/wisp-shim/wisp/protos"
)

// Field report F7: a task that is created and never started is deleted at once, with the events of a whole life but the start.
func TestCreatedTaskIsDeletedAtOnce(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	_, err := r.create(nil)
	must(t, err)
	begun := time.Now()
	if deleted := r.delete(""); deleted.GetExitStatus() != 137 {
		t.Errorf("Delete says %d", deleted.GetExitStatus())
	}
	if took := time.Since(begun); took > soonLimit/4 {
		t.Errorf("it took %v", took)
	}
	want := []string{protos.TopicCreate, protos.TopicExit, protos.TopicDelete}
	if got := topics(r.event(protos.TopicDelete)); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// An init that somebody kills before its start is an exit like any other.
func TestInitKilledBeforeItsStart(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	created, err := r.create(nil)
	must(t, err)
	must(t, unix.Kill(int(created.GetPid()), unix.SIGKILL))
	if status := r.wait(""); status != 137 {
		t.Errorf("exit status %d", status)
	}
	_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
	wantCode(t, "Start", err, codes.FailedPrecondition, "stopped")
	r.delete("")
}

// Deletes at the same time share one outcome, as do Waits.
func TestDeletesAndWaitsAtOnceAgree(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "exit 5").start()
	r.run()
	var calls sync.WaitGroup
	for range 5 {
		calls.Go(func() {
			exit, err := r.shim.Task.Wait(r.ctx, &protos.WaitRequest{Id: r.config.ID})
			if err != nil || exit.GetExitStatus() != 5 {
				t.Errorf("Wait: %v, %v", exit.GetExitStatus(), err)
			}
			deleted, err := r.shim.Task.Delete(r.ctx, &protos.DeleteRequest{Id: r.config.ID})
			if err != nil || deleted.GetExitStatus() != 5 {
				t.Errorf("Delete: %v, %v", deleted.GetExitStatus(), err)
			}
		})
	}
	calls.Wait()
}
