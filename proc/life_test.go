package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/runc/runctest"
)

// A life has its events in order, its exit in the answer of Wait, of Delete and in the bundle.
func TestLifeOfATask(t *testing.T) {
	f := newFixture(t, runctest.Config{Args: []string{"/bin/busybox", "sh", "-c", "exit 42"}})
	task := f.run()
	e := await(t, task, "")
	if e.Status != 42 || e.Pid != task.Pid() || e.At.IsZero() {
		t.Errorf("wait: %+v", e)
	}
	d, err := task.Delete(t.Context(), "")
	if err != nil || d != e {
		t.Errorf("delete: %+v, %v; want what Wait said: %+v", d, err, e)
	}
	again, err := task.Delete(t.Context(), "")
	if err != nil || again != e {
		t.Errorf("second delete: %+v, %v", again, err)
	}
	if got, want := kinds(f.seen()), []string{"create", "start", "exit", "delete"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	rec, err := f.cfg.Bundle.ReadExit()
	if err != nil || rec.Status != 42 || !rec.ExitedAt.Equal(e.At) {
		t.Errorf("exit record %+v, %v", rec, err)
	}
}

// A task that was created and never started is deleted at once: its exit is told, Wait ends with it, and Delete answers the same.
func TestDeleteOfACreatedTask(t *testing.T) {
	f := newFixture(t, forever)
	task := f.create()
	waited := make(chan Exited, 1)
	go func() {
		e, _ := task.Wait(context.Background(), "")
		waited <- e
	}()
	d, err := task.Delete(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != 137 || d.At.IsZero() {
		t.Errorf("delete: %+v", d)
	}
	if e := <-waited; e != d {
		t.Errorf("wait: %+v, delete: %+v", e, d)
	}
	if got, want := kinds(f.seen()), []string{"create", "exit", "delete"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// A running task is not deleted, and not harmed by the attempt.
func TestDeleteOfARunningTaskIsRefused(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	if _, err := task.Delete(t.Context(), ""); !errors.Is(err, ErrPrecondition) {
		t.Errorf("error %v", err)
	}
	if s, _ := task.State(""); s.Status != StatusRunning {
		t.Errorf("status %v", s.Status)
	}
}

// A signal ends init with 128 + its number.
func TestKill(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		f := newFixture(t, runctest.Config{Args: []string{"/bin/busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do /bin/busybox sleep 0.1; done"}})
		task := f.run()
		time.Sleep(200 * time.Millisecond) // the shell is to have set its trap; before that TERM is not for an init
		if err := task.Kill(t.Context(), "", sig, false); err != nil {
			t.Fatal(err)
		}
		want := 3
		if sig == syscall.SIGKILL {
			want = 137
		}
		if e := await(t, task, ""); e.Status != want {
			t.Errorf("signal %d: status %d, want %d", sig, e.Status, want)
		}
		if err := task.Kill(t.Context(), "", sig, false); !errors.Is(err, ErrNotFound) {
			t.Errorf("kill of a dead task: %v", err)
		}
	}
}

// SIGKILL reaches a paused task, and its exit is announced.
func TestKillOfAPausedTask(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	if err := task.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, _ := task.State(""); s.Status != StatusPaused {
		t.Errorf("status %v", s.Status)
	}
	if err := task.Kill(t.Context(), "", syscall.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if e := await(t, task, ""); e.Status != 137 {
		t.Errorf("status %d", e.Status)
	}
}

// An exec has its own exit, and a repeated Delete of it answers the same.
func TestLifeOfAnExec(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	f.exec(task, "e1", "/bin/busybox", "sh", "-c", "exit 7")
	e := await(t, task, "e1")
	if e.Status != 7 {
		t.Errorf("status %d", e.Status)
	}
	for range 2 {
		d, err := task.Delete(t.Context(), "e1")
		if err != nil || d != e {
			t.Errorf("delete: %+v, %v", d, err)
		}
	}
	if _, err := task.State("e1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("state of a deleted exec: %v", err)
	}
	want := []string{"create", "start", "added:e1", "started:e1", "exit:e1"}
	if got := kinds(f.seen()); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(string(f.cfg.Bundle), "e1*")); left != nil {
		t.Errorf("left in the bundle: %v", left)
	}
}

// Cause: containerd's shim closed a channel twice when the start of an exec failed twice, and died of it.
func TestExecStartMayFailTwice(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	runctest.SetFaults(t, f.binary, runctest.Fault{Verb: "exec", Message: "no such luck"})
	if err := task.Exec(t.Context(), "e", Stdio{}, processJSON("/bin/busybox", "true")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := task.Start(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "no such luck") {
			t.Errorf("error %v", err)
		}
	}
	runctest.SetFaults(t, f.binary)
	if _, err := task.Start(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	if e := await(t, task, "e"); e.Status != 0 {
		t.Errorf("status %d", e.Status)
	}
}

// Whoever waits for an exec whose start fails is told so.
func TestWaitEndsWhenAStartFails(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	runctest.SetFaults(t, f.binary, runctest.Fault{Verb: "exec", Message: "no such luck"})
	if err := task.Exec(t.Context(), "e", Stdio{}, processJSON("/bin/busybox", "true")); err != nil {
		t.Fatal(err)
	}
	p, _ := task.process("e")
	p.failed = nil
	waited := make(chan error, 1)
	registered := make(chan struct{})
	go func() {
		close(registered)
		_, err := task.Wait(context.Background(), "e")
		waited <- err
	}()
	<-registered
	for {
		if _, err := task.Start(t.Context(), "e"); err == nil {
			t.Fatal("start succeeded")
		}
		select { // the waiter may have registered after the start: then the next one tells it
		case err := <-waited:
			if !errors.Is(err, ErrPrecondition) || !strings.Contains(err.Error(), "no such luck") {
				t.Errorf("error %v", err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// A Create that fails leaves nothing, whatever it failed at, and the id can be used again.
func TestAFailedCreateLeavesNothing(t *testing.T) {
	f := newFixture(t, forever)
	for _, fault := range []runctest.Fault{
		{Verb: "create", Message: "cannot do that"},
		{Verb: "create", After: true, Message: "changed my mind"},
		{Verb: "create", Signal: syscall.SIGKILL},
	} {
		runctest.SetFaults(t, f.binary, fault)
		if _, err := Create(t.Context(), f.cfg); err == nil || !strings.Contains(err.Error(), fault.Message) {
			t.Errorf("%+v: error %v", fault, err)
		}
	}
	if len(f.seen()) != 0 {
		t.Errorf("events of a task that never was: %v", kinds(f.seen()))
	}
	runctest.SetFaults(t, f.binary)
	f.create()
}

// A Create whose caller has gone is undone.
func TestCreateOfACallerWhoLeft(t *testing.T) {
	f := newFixture(t, forever)
	ctx, cancel := context.WithCancel(t.Context())
	runctest.SetFaults(t, f.binary, runctest.Fault{Verb: "create", Sleep: 300 * time.Millisecond})
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := Create(ctx, f.cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.cfg.Runtime.Root, f.cfg.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runtime still knows the container: %v", err)
	}
}

// A bundle that makes no sense is refused before anything is made.
func TestCreateChecksTheBundle(t *testing.T) {
	f := newFixture(t, forever)
	config := filepath.Join(string(f.cfg.Bundle), bundle.ConfigFile)
	if err := os.WriteFile(config, []byte(`{"process":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), f.cfg); !errors.Is(err, ErrInvalid) {
		t.Errorf("broken config.json: %v", err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), f.cfg); !errors.Is(err, ErrInvalid) {
		t.Errorf("no config.json: %v", err)
	}
}

// Requests that make no sense are refused with the right kind.
func TestBadRequests(t *testing.T) {
	f := newFixture(t, forever)
	task := f.run()
	ctx := t.Context()
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("exec without a spec", task.Exec(ctx, "e", Stdio{}, nil), ErrInvalid)
	check("exec with a broken spec", task.Exec(ctx, "e", Stdio{}, []byte("null")), ErrInvalid)
	check("update without resources", task.Update(ctx, nil), ErrInvalid)
	check("kill with signal 99", task.Kill(ctx, "", 99, false), ErrInvalid)
	_, err := task.Start(ctx, "nobody")
	check("start of an unknown exec", err, ErrNotFound)
	_, err = task.Wait(ctx, "nobody")
	check("wait for an unknown exec", err, ErrNotFound)
	check("close stdin of an unknown exec", task.CloseIO("nobody"), ErrNotFound)
	_, err = task.Start(ctx, "")
	check("second start", err, ErrPrecondition)
	check("exec", task.Exec(ctx, "e", Stdio{}, processJSON("x")), nil)
	check("exec of the same id", task.Exec(ctx, "e", Stdio{}, processJSON("x")), ErrExists)
	check("kill of an exec that was not started", task.Kill(ctx, "e", 9, false), ErrPrecondition)
}
