package proc

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/runc/runctest"
)

const (
	hang  = 5 * time.Second       // what the runtime sleeps
	quick = 50 * time.Millisecond // what a look may take meanwhile: the median of many, for the machine may be busy
)

// While the runtime hangs in any verb, State and Pid answer, and Wait registers (field report F3).
func TestNoLookWaitsForTheRuntime(t *testing.T) {
	verbs := map[string]func(*fixture, *Task) error{
		"start": func(f *fixture, task *Task) error { _, err := task.Start(f.t.Context(), ""); return err },
		"exec": func(f *fixture, task *Task) error {
			_, err := task.Start(f.t.Context(), "e")
			return err
		},
		"delete": func(f *fixture, task *Task) error { _, err := task.Delete(f.t.Context(), ""); return err },
		"update": func(f *fixture, task *Task) error { return task.Update(f.t.Context(), []byte(`{}`)) },
	}
	for verb, call := range verbs {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, forever)
			task := f.create()
			switch verb {
			case "exec", "update":
				if _, err := task.Start(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				if err := task.Exec(t.Context(), "e", Stdio{}, processJSON("/bin/busybox", "true")); err != nil {
					t.Fatal(err)
				}
			}
			runctest.SetFaults(t, f.binary, runctest.Fault{Verb: verb, Sleep: hang, Times: 1})
			done := make(chan error, 1)
			go func() { done <- call(f, task) }()
			time.Sleep(hang / 10)
			var took []time.Duration
			for range 50 {
				begun := time.Now()
				if _, err := task.State(""); err != nil {
					t.Error(err)
				}
				task.Pid()
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				task.Wait(ctx, "")
				took = append(took, time.Since(begun))
			}
			select {
			case err := <-done:
				t.Fatalf("%s did not hang: %v", verb, err)
			default:
			}
			slices.Sort(took)
			if m := took[len(took)/2]; m > quick {
				t.Errorf("a look took %v while %s hung", m, verb)
			}
			if err := <-done; err != nil {
				t.Errorf("%s: %v", verb, err)
			}
		})
	}
}

// Kill gets through while a start hangs, and the start is told before the exit it led to.
func TestKillDuringAHangingStart(t *testing.T) {
	f := newFixture(t, forever)
	task := f.create()
	runctest.SetFaults(t, f.binary, runctest.Fault{Verb: "start", After: true, Sleep: time.Second, Times: 1})
	started := make(chan error, 1)
	go func() {
		_, err := task.Start(context.Background(), "")
		started <- err
	}()
	time.Sleep(300 * time.Millisecond)
	if err := task.Kill(t.Context(), "", syscall.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if e := await(t, task, ""); e.Status != 137 {
		t.Errorf("status %d", e.Status)
	}
	if got, want := kinds(f.seen()), []string{"create", "start", "exit"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}
