package reaper

import (
	"errors"
	"math"
	"os"
	"testing"
)

// park stores an exit as the reap loop does.
func park(r *Reaper, pid, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counters.Reaped++
	r.parkLocked(Exit{Pid: pid, Status: status})
}

// An exec storm whose watches overlap for ever keeps what its open watches can
// claim, and no more; so does a storm of forks.
func TestOverlappingWatchesDoNotGrow(t *testing.T) {
	const overlap, exits, rounds = 8, 10, 20000
	r := New()
	var open []*Watch
	var forks []uint64
	for i := range rounds {
		open, forks = append(open, r.Watch()), append(forks, r.beginFork())
		for j := range exits {
			park(r, 1000+j, i%256)
		}
		if len(open) > overlap {
			open[0].Close()
			r.endFork(forks[0])
			open, forks = open[1:], forks[1:]
		}
		if n := len(r.parked); n > overlap*exits+exits {
			t.Fatalf("round %d: %d exits are parked", i, n)
		}
		if n := cap(r.parked); n > 8*overlap*exits {
			t.Fatalf("round %d: room for %d exits", i, n)
		}
	}
	for i := range open {
		open[i].Close()
		open[i].Close()
		r.endFork(forks[i])
	}
	if c := r.Counters(); c.Parked != 0 || c.Dropped != rounds*exits || len(r.watches)+len(r.forks) != 0 {
		t.Errorf("%+v, %d watches, %d forks", c, len(r.watches), len(r.forks))
	}
}

// A watch that was open long gives its memory back.
func TestLongWatchGivesMemoryBack(t *testing.T) {
	r := New()
	w := r.Watch()
	for i := range 100000 {
		park(r, 2+i, 0)
	}
	w.Close()
	if len(r.parked) != 0 || cap(r.parked) > keepParked {
		t.Errorf("%d parked, room for %d", len(r.parked), cap(r.parked))
	}
}

// Without a watch an exit is dropped; with one it is kept for that watch and those
// that are older, but not for a younger one.
func TestExitIsKeptForOlderWatchesOnly(t *testing.T) {
	r := New()
	unborn := math.MaxInt32 // no process has it
	park(r, unborn, 1)
	first := r.Watch()
	defer first.Close()
	if _, err := first.Claim(unborn); !errors.Is(err, ErrNotChild) {
		t.Errorf("an exit from before the watch: %v", err)
	}
	park(r, unborn, 2)
	second := r.Watch()
	defer second.Close()
	if _, err := second.Claim(unborn); !errors.Is(err, ErrNotChild) {
		t.Errorf("an exit from before the second watch: %v", err)
	}
	p, err := first.Claim(unborn)
	if err != nil || p.Exit().Status != 2 || p.Pid() != unborn {
		t.Fatalf("%v, %v", p, err)
	}
	<-p.Done()
	if err := p.Signal(0); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	if _, err := first.Claim(unborn); !errors.Is(err, ErrNotChild) {
		t.Errorf("given twice: %v", err)
	}
	if c := r.Counters(); c != (Counters{Reaped: 2, Dropped: 1}) {
		t.Errorf("%+v", c)
	}
}

// What is nobody's child cannot be claimed: oneself, init, no pid at all.
func TestClaimOfStrangers(t *testing.T) {
	r := checkLeaks(t)
	w := r.Watch()
	for _, pid := range []int{os.Getpid(), os.Getppid(), 1, 0, -1, math.MinInt32, math.MaxInt32, math.MaxInt} {
		if _, err := w.Claim(pid); !errors.Is(err, ErrNotChild) {
			t.Errorf("claim of %d: %v", pid, err)
		}
	}
	g := newGate(t)
	p := mustStart(t, r, sh("read x <&3", nil, nil, nil, g.r))
	if _, err := w.Claim(p.Pid()); !errors.Is(err, ErrNotChild) {
		t.Errorf("claim of a started child: %v", err)
	}
	g.open()
	waitExit(t, p)
	w.Close()
	if _, err := w.Claim(p.Pid()); !errors.Is(err, ErrWatchClosed) {
		t.Errorf("claim on a closed watch: %v", err)
	}
}
