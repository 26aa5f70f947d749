package proc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
	"github.com/wisp-shim/wisp/runc/runctest"
)

// theReaper is the one reaper of this test process.
var theReaper = reaper.New()

func TestMain(m *testing.M) {
	runctest.Main()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := theReaper.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	code := m.Run()
	cancel()
	<-ended
	os.Exit(code)
}

// patience is how long a test waits for what must come: long, for the machine may be busy.
const patience = 60 * time.Second

// fixture is a task's surroundings with a runtime that does as it is told.
type fixture struct {
	t      *testing.T
	binary string
	cfg    Config

	mu     sync.Mutex
	events []Event
}

func newFixture(t *testing.T, c runctest.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, binary: runctest.Binary(t)}
	dir := runctest.Bundle(t, c)
	id := filepath.Base(t.TempDir()) + "-" + fmt.Sprint(os.Getpid(), "-", time.Now().UnixNano())
	f.cfg = Config{
		ID: sanitize(id), Namespace: "test", Bundle: bundle.Dir(dir),
		Runtime: &runc.Runtime{
			Binary: f.binary, Root: runctest.Root(t), Log: filepath.Join(dir, bundle.RuntimeLogFile), Spawn: theReaper.Start,
		},
		Reaper: theReaper,
		Emit:   f.record,
		Log:    func(msg string, kv ...any) { t.Log(append([]any{msg}, kv...)...) },
	}
	return f
}

func sanitize(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c == ' ' {
			out[i] = '-'
		}
	}
	return string(out)
}

func (f *fixture) record(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

func (f *fixture) seen() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// create makes the task; whatever is left of it is removed at the test's end.
func (f *fixture) create() *Task {
	f.t.Helper()
	task, err := Create(f.t.Context(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { f.remove(task) })
	return task
}

func (f *fixture) remove(task *Task) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = task.Kill(ctx, "", syscall.SIGKILL, true)
	if s, _ := task.State(""); s.Status != StatusCreated {
		_, _ = task.Wait(ctx, "")
	}
	if _, err := task.Delete(ctx, ""); err != nil {
		f.t.Errorf("remove task: %v", err)
	}
	task.Join()
}

func (f *fixture) run() *Task {
	f.t.Helper()
	task := f.create()
	if _, err := task.Start(f.t.Context(), ""); err != nil {
		f.t.Fatal(err)
	}
	return task
}

// exec adds and starts an exec.
func (f *fixture) exec(task *Task, id string, args ...string) {
	f.t.Helper()
	if err := task.Exec(f.t.Context(), id, Stdio{}, processJSON(args...)); err != nil {
		f.t.Fatal(err)
	}
	if _, err := task.Start(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
}

func processJSON(args ...string) []byte {
	out := `{"cwd":"/","args":[`
	for i, a := range args {
		if i > 0 {
			out += ","
		}
		out += fmt.Sprintf("%q", a)
	}
	return []byte(out + `]}`)
}

func await(t *testing.T, task *Task, execID string) Exited {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := task.Wait(ctx, execID)
	if err != nil {
		t.Fatalf("wait for %q: %v", execID, err)
	}
	return e
}

// kinds is the events as words: "start", "exit", and "exit:ID" for execs.
func kinds(events []Event) []string {
	names := map[EventKind]string{
		EventCreate: "create", EventStart: "start", EventExit: "exit", EventDelete: "delete", EventOOM: "oom",
		EventExecAdded: "added", EventExecStarted: "started", EventPaused: "paused", EventResumed: "resumed",
	}
	var out []string
	for _, e := range events {
		s := names[e.Kind]
		if e.Exec != "" {
			s += ":" + e.Exec
		}
		out = append(out, s)
	}
	return out
}

var forever = runctest.Config{Args: []string{"/bin/busybox", "sleep", "1000"}}
