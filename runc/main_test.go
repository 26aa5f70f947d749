package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc/runctest"
)

// patience is how long a test waits for what must come. Only a failure takes it.
const patience = 60 * time.Second

// theReaper is the one Reaper of the test binary.
var theReaper = reaper.New()

func TestMain(m *testing.M) {
	runctest.Main()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = theReaper.Run(ctx) })
	// The poller's descriptors are opened with the first pipe.
	if r, w, err := os.Pipe(); err == nil {
		_, _ = r.Close(), w.Close()
	}
	// The first child has the reaper start all that it needs, before anybody counts.
	if p, err := theReaper.Start(reaper.Command{Path: "/bin/true", Args: []string{"true"}}); err == nil {
		<-p.Done()
	}
	code := m.Run()
	cancel()
	wg.Wait()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		code = 1
	}
	os.Exit(code)
}

// checkLeaks fails the test if it ends with other descriptors or goroutines than it
// began with, or with children.
func checkLeaks(t *testing.T) {
	t.Helper()
	fds, goroutines := countFDs(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for {
			_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			left := !errors.Is(err, unix.ECHILD) || countFDs(t) != fds || runtime.NumGoroutine() > goroutines
			if !left {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("left: children %v, %d descriptors (%d before), %d goroutines (%d before)",
					err, countFDs(t), fds, runtime.NumGoroutine(), goroutines)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakeRuntime is a driver of the fake, with a root and a log of its own.
func fakeRuntime(t testing.TB) *Runtime {
	t.Helper()
	return &Runtime{
		Binary: runctest.Binary(t), Root: runctest.Root(t), Log: filepath.Join(t.TempDir(), "log.json"), Spawn: theReaper.Start,
	}
}

// runtimeError returns err as an *Error.
func runtimeError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	return e
}

// tick yields until patience is at its end, which fails the test.
func tick(t testing.TB) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for i := 0; time.Now().Before(deadline); i++ {
			if !yield(i) {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Error("waited in vain")
	}
}

func durationOf(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
