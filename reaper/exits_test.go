package reaper

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Thousands of children, direct and orphaned, die before, while and after they
// are claimed, under overlapping watches: each exit that is claimed comes with its
// own status and once, and the counters account for all others.
func TestEveryExitIsGivenOnce(t *testing.T) {
	const workers, rounds, orphans = 8, 10, 40
	r := checkLeaks(t)
	rnd := newRand(t)
	before := r.Counters()
	var given atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		own := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		wg.Go(func() {
			for range rounds {
				given.Add(int64(claimRound(t, r, own, orphans)))
			}
		})
	}
	wg.Wait()

	after := r.Counters()
	// Each round has a forker and one more direct child.
	started, reaped := after.Started-before.Started, after.Reaped-before.Reaped
	if want := workers * rounds * 2; started != want {
		t.Errorf("started %d, want %d", started, want)
	}
	if want := started + workers*rounds*orphans; reaped != want {
		t.Errorf("reaped %d, want %d", reaped, want)
	}
	if got := int(given.Load()) + started + after.Dropped - before.Dropped; got != reaped || after.Parked != 0 {
		t.Errorf("given, dropped and started are %d of %d; still parked: %d", got, reaped, after.Parked)
	}
}

// claimRound has a forker leave orphans behind, claims most of them, each from two
// goroutines at once, and returns how many exits it was given.
func claimRound(t *testing.T, r *Reaper, rnd *rand.Rand, orphans int) int {
	w := r.Watch()
	defer w.Close()
	early, late := newGate(t), newGate(t)
	defer early.open()
	defer late.open()
	var script strings.Builder
	for range orphans {
		code := rnd.IntN(256)
		fmt.Fprintf(&script, "(read x <&%d; exit %d) & echo $! %d\n", 3+code%2, code, code)
	}
	direct := mustStart(t, r, sh("read x <&3; exit 7", nil, nil, nil, late.r))
	codes := forkFamily(t, r, script.String(), early, late)
	early.open()
	if rnd.IntN(2) == 0 {
		for pid, code := range codes {
			if code%2 == 0 {
				waitReaped(t, pid)
			}
		}
	}
	openAt := rnd.IntN(orphans)
	var given []*Process
	for pid := range codes {
		if len(given) == openAt {
			late.open() // from here on all claims race with exits
		}
		if rnd.IntN(8) == 0 {
			openAt-- // this one is nobody's
			continue
		}
		given = append(given, claimTwice(t, w, pid))
	}
	late.open()
	for _, p := range given {
		if p == nil {
			continue
		}
		if e := waitExit(t, p); e.Pid != p.Pid() || e.Status != codes[p.Pid()] || e.At.IsZero() {
			t.Errorf("pid %d exited with %d: %+v", p.Pid(), codes[p.Pid()], e)
		}
	}
	if e := waitExit(t, direct); e.Status != 7 {
		t.Errorf("direct child: %+v", e)
	}
	return len(given) + claimRest(t, r, codes)
}

// claimTwice claims a pid from two goroutines, of which one must succeed.
func claimTwice(t *testing.T, w *Watch, pid int) *Process {
	var both [2]*Process
	var errs [2]error
	var wg sync.WaitGroup
	for i := range both {
		wg.Go(func() { both[i], errs[i] = w.Claim(pid) })
	}
	wg.Wait()
	for i := range both {
		if both[i] != nil && both[1-i] == nil && errors.Is(errs[1-i], ErrNotChild) {
			return both[i]
		}
	}
	t.Errorf("claim of pid %d: %v and %v", pid, errs[0], errs[1])
	return nil
}

// claimRest claims those of the pids that are alive and nobody's by now, waits
// for them, and returns how many they were: all of them are reaped then.
func claimRest(t *testing.T, r *Reaper, codes map[int]int) (n int) {
	w := r.Watch()
	defer w.Close()
	for pid := range codes {
		if p, err := w.Claim(pid); err == nil {
			waitExit(t, p)
			n++
		}
	}
	return n
}

// A consumer that looks at nothing while 5,000 processes exit gets 5,000 exits
// (containerd #12678: exits dropped after a second).
func TestStalledConsumerGetsEveryExit(t *testing.T) {
	const batches, size = 10, 500
	r := checkLeaks(t)
	w := r.Watch()
	defer w.Close()
	before := r.Counters()
	script := fmt.Sprintf(
		"i=0; while [ $i -lt %d ]; do c=$((i %% 256)); (read x <&3; exit $c) & echo $! $c; i=$((i+1)); done", size)
	codes := make(map[int]int)
	for range batches {
		g := newGate(t)
		maps.Copy(codes, forkFamily(t, r, script, g))
		g.open() // they die at once, and their signals coalesce
	}
	for pid := range codes {
		waitReaped(t, pid)
	}
	if n := r.Counters().Parked; len(codes) != batches*size || n != len(codes) {
		t.Fatalf("%d children, %d parked", len(codes), n)
	}
	// The consumer wakes up.
	for pid, code := range codes {
		p, err := w.Claim(pid)
		if err != nil {
			t.Fatal(err)
		}
		if e := waitExit(t, p); e.Status != code {
			t.Fatalf("pid %d exited with %d: %+v", pid, code, e)
		}
	}
	if n := r.Counters().Reaped - before.Reaped; n != batches*(size+1) {
		t.Errorf("reaped %d, want %d", n, batches*(size+1))
	}
}

// What dies while Run is not there is reaped when it comes back; until then a
// process is neither done nor lost.
func TestRunTakesUpWhatDiedBeforeIt(t *testing.T) {
	r := checkLeaks(t)
	if err := shared.stop(); err != nil {
		t.Fatalf("run: %v", err)
	}
	p := mustStart(t, r, sh("exit 5"))
	w := r.Watch()
	defer w.Close()
	orphan := zombie(t, "exit 6")
	select {
	case <-p.Done():
		t.Error("done without a Run")
	default:
	}
	if e := p.Exit(); e != (Exit{}) {
		t.Errorf("exit before done: %+v", e)
	}
	q, err := w.Claim(orphan) // a zombie is a child
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to a zombie: %v", err)
	}
	shared.start()
	if e := waitExit(t, p); e.Status != 5 {
		t.Errorf("%+v", e)
	}
	if e := waitExit(t, q); e.Status != 6 {
		t.Errorf("%+v", e)
	}
}

// Functions given to Notify run in the order of reaping, once, outside the lock.
func TestNotifyRunsInOrderOutsideTheLock(t *testing.T) {
	r := checkLeaks(t)
	g := newGate(t)
	type event struct {
		e   Exit
		err error
	}
	events := make(chan event, 64)
	const children = 20
	for range children {
		p := mustStart(t, r, sh("read x <&3; exit 3", nil, nil, nil, g.r))
		ok := p.Notify(func(e Exit) {
			<-p.Done() // closed before
			events <- event{e, p.Signal(0)}
		})
		if !ok {
			t.Error("a live process takes no function")
		}
	}
	g.open()
	var last Exit
	for range children {
		ev := <-events
		if ev.e.Status != 3 || ev.err == nil || ev.e.At.Before(last.At) {
			t.Errorf("%+v after %+v", ev, last)
		}
		last = ev.e
	}
	p := mustStart(t, r, sh("exit 4"))
	waitExit(t, p)
	if p.Notify(func(Exit) { t.Error("called") }) {
		t.Error("a dead process takes a function")
	}
}
