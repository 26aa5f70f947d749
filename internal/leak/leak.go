// Package leak is a test helper that fails a test which leaves something behind:
// a goroutine, an open file descriptor, a child process (zombies too) or a mount.
// It knows nothing of containers and shims. Tests of every package import it; nothing else does.
//
//	func TestX(t *testing.T) {
//		leak.Check(t)
//		...
//	}
//
// Goroutines, descriptors and children belong to the whole process, so a test that uses Check must not
// run in parallel with others that start any.
package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

const (
	// settle is how long after a test what it started may take to go away. It is long because the
	// machine may be busy, and costs nothing where nothing leaks.
	settle = 5 * time.Second
	// pollStart and pollMax bound the pause between two looks; it doubles from one to the other.
	pollStart = time.Millisecond
	pollMax   = 100 * time.Millisecond
)

// A thing is one resource that is in use. Two with equal keys are one resource counted twice.
type thing struct {
	kind string // "goroutine", "file descriptor", "child process", "mount"
	key  string // identity, stable while the resource lives
	text string // for a human being; may have several lines
}

// Check notes what is in use now and, when the test and the cleanups registered after this call have
// ended, fails the test if more is in use than then. Call it first in a test, so that its comparison runs
// last. What goes away within a few seconds of itself is not a leak.
//
// Mounts count if they are under the test's temporary directories; in a mount namespace of the
// process's own all mounts count.
func Check(t testing.TB) {
	t.Helper()
	check(t, settle)
}

func check(t testing.TB, settle time.Duration) {
	t.Helper()
	// Called before Cleanup below, so that the directory is removed after the comparison.
	temp := filepath.Dir(t.TempDir())
	primePoller(t)
	before, err := take(temp)
	if err != nil {
		t.Errorf("leak: %v", err)
		return
	}
	t.Cleanup(func() {
		t.Helper()
		leaked, err := wait(temp, before, settle)
		if err != nil {
			t.Errorf("leak: %v", err)
		}
		if len(leaked) > 0 {
			t.Errorf("leak: %d left behind by %s after %v:\n%s", len(leaked), t.Name(), settle, describe(leaked))
		}
	})
}

// primePoller makes Go's network poller open its own epoll and event descriptors before the first
// look, so that any other one that turns up later is a leak.
func primePoller(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Errorf("leak: open pipe: %v", err)
		return
	}
	r.Close()
	w.Close()
}

// wait looks again and again until nothing new is in use or the time to settle is over, and returns
// what is new by then.
func wait(temp string, before []thing, settle time.Duration) ([]thing, error) {
	deadline := time.Now().Add(settle)
	for pause := pollStart; ; pause = min(2*pause, pollMax) {
		now, err := take(temp)
		if err != nil {
			return nil, err
		}
		leaked := added(before, now)
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked, nil
		}
		time.Sleep(pause)
	}
}

// take lists what is in use.
func take(temp string) ([]thing, error) {
	var all []thing
	for _, list := range []func() ([]thing, error){
		goroutines,
		descriptors,
		children,
		func() ([]thing, error) { return mounts(temp) },
	} {
		things, err := list()
		if err != nil {
			return nil, err
		}
		all = append(all, things...)
	}
	return all, nil
}

// added returns what now has more of than before.
func added(before, now []thing) []thing {
	known := make(map[[2]string]int, len(before))
	for _, b := range before {
		known[[2]string{b.kind, b.key}]++
	}
	var more []thing
	for _, n := range now {
		k := [2]string{n.kind, n.key}
		if known[k] > 0 {
			known[k]--
			continue
		}
		more = append(more, n)
	}
	return more
}

func describe(leaked []thing) string {
	sort.SliceStable(leaked, func(i, j int) bool { return leaked[i].kind < leaked[j].kind })
	var b strings.Builder
	for _, l := range leaked {
		fmt.Fprintf(&b, "- %s: %s\n", l.kind, strings.ReplaceAll(strings.TrimSpace(l.text), "\n", "\n    "))
	}
	return b.String()
}
