package reaper

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// envPidNamespace is set in the test binary that is pid 1 of its own namespace.
const envPidNamespace = "REAPER_TEST_PIDNS"

// inPidNamespace runs the test again in a test binary of its own, as pid 1 of a new pid
// namespace, where pids can be had at will. It returns true there.
func inPidNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envPidNamespace) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("a pid namespace needs root")
	}
	r := checkLeaks(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := outFile(t, "log")
	defer func() { _ = out.Close() }()
	w := r.Watch()
	defer w.Close()
	pid, err := syscall.ForkExec(self, []string{self, "-test.v", "-test.timeout=40s", "-test.run=^" + t.Name() + "$"}, &syscall.ProcAttr{
		Env:   append(os.Environ(), envPidNamespace+"=1"),
		Files: []uintptr{out.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Claim(pid)
	if err != nil {
		t.Fatal(err)
	}
	e := waitExit(t, p)
	log, err := os.ReadFile(out.Name())
	if e.Status != 0 || err != nil {
		t.Errorf("%+v, %v", e, err)
	}
	t.Logf("in the namespace:\n%s", log)
	return false
}

// nextPid has the kernel try this pid first for the next process of the namespace.
func nextPid(t *testing.T, pid int) {
	t.Helper()
	err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0)
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever gets a dead process's pid is safe from the signals meant for the dead
// (containerd #2832, #4204; runc #4045).
func TestSignalNeverHitsARecycledPid(t *testing.T) {
	if !inPidNamespace(t) {
		return
	}
	r := checkLeaks(t)
	const rounds = 100
	recycled := 0
	for range rounds {
		g := newGate(t)
		command := sh("read x <&3; exit 42", nil, nil, nil, g.r)
		victim := mustStart(t, r, command)
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !stop.Load() {
					err := victim.Signal(syscall.SIGKILL)
					if err != nil && !errors.Is(err, os.ErrProcessDone) {
						t.Error(err)
					}
				}
			})
		}
		waitExit(t, victim)
		waitReaped(t, victim.Pid())
		nextPid(t, victim.Pid())
		canary := mustStart(t, r, command)
		if canary.Pid() == victim.Pid() {
			recycled++
		}
		g.open()
		if e := waitExit(t, canary); e.Status != 42 {
			t.Errorf("canary: %+v", e)
		}
		stop.Store(true)
		wg.Wait()
	}
	// A thread of the test may have taken a pid.
	if recycled < rounds*3/4 {
		t.Errorf("%d pids of %d were recycled", recycled, rounds)
	}
}

// Decision 0005: the last holder of a pid that is not claimed is the one Claim
// gives; a live one that is claimed already is no candidate.
func TestClaimGivesTheLastUnclaimedHolder(t *testing.T) {
	if !inPidNamespace(t) {
		return
	}
	r := checkLeaks(t)
	for pid := 5000; ; pid += 100 { // a thread of the test may take the pid
		if claimHolders(t, r, pid) {
			return
		}
	}
}

// claimHolders gives a pid to three children one after the other, and claims
// all. It returns false if it did not get the pid.
func claimHolders(t *testing.T, r *Reaper, pid int) bool {
	w := r.Watch()
	defer w.Close()
	for _, script := range []string{"exit 1", "exit 2", "kill -STOP $$; exit 3"} {
		nextPid(t, pid)
		if got := forkBehind(t, script); got != pid {
			_ = syscall.Kill(got, syscall.SIGKILL)
			waitReaped(t, got)
			return false
		}
		if script[0] == 'e' {
			waitReaped(t, pid)
		}
	}
	claim := func() *Process {
		p, err := w.Claim(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	alive := claim()
	// The live one has its owner now: the last dead one is next.
	if e := waitExit(t, claim()); e.Status != 2 {
		t.Errorf("got %+v, want status 2", e)
	}
	if err := alive.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if e := waitExit(t, alive); e.Status != 137 {
		t.Errorf("got %+v, want status 137", e)
	}
	if e := waitExit(t, claim()); e.Status != 1 {
		t.Errorf("got %+v, want status 1", e)
	}
	if _, err := w.Claim(pid); !errors.Is(err, ErrNotChild) {
		t.Errorf("claimed once too often: %v", err)
	}
	return true
}

// ForkExec waits by pid for a child whose exec failed. Were that one reaped by the
// loop and its pid recycled at that moment, ForkExec would take the exit of
// the next holder, and its owner would wait for ever.
func TestFailedStartsTakeNobodysExit(t *testing.T) {
	if !inPidNamespace(t) {
		return
	}
	r := checkLeaks(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				nextPid(t, 300) // a narrow range for all
				if _, err := r.Start(Command{Path: "/none", Args: []string{"/none"}}); err == nil {
					t.Error("started what is not there")
				}
			}
		})
	}
	for i := range 300 {
		want := []int{253, i % 256}[i%2]
		if e := waitExit(t, mustStart(t, r, sh(fmt.Sprint("exit ", want)))); e.Status != want {
			t.Errorf("got %+v, want %d", e, want)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// The loop leaves a child that may be ForkExec's until the forks that were going on
// are over, however many come after them.
func TestPossibleForkFailureIsHeld(t *testing.T) {
	r := checkLeaks(t)
	if err := shared.stop(); err != nil {
		t.Fatal(err)
	}
	defer shared.start()
	fork := r.beginFork()
	other := zombie(t, "exit 252")
	if !r.reapNext() {
		t.Error("an exit that cannot be ForkExec's is held")
	}
	held := zombie(t, "exit 253")
	if r.reapNext() || !isChild(held) {
		t.Error("an exit that may be ForkExec's is not held")
	}
	behind := zombie(t, "exit 1") // or before it: the kernel lists children by thread
	later := r.beginFork()
	for r.reapNext() {
	}
	if !isChild(held) {
		t.Error("a later fork ends the hold")
	}
	r.endFork(fork)
	select {
	case <-r.wake:
	default:
		t.Error("Run is not woken")
	}
	w := r.Watch()
	defer w.Close()
	for r.reapNext() {
	}
	for _, pid := range []int{other, held, behind} {
		if isChild(pid) {
			t.Errorf("pid %d is still held", pid)
		}
	}
	r.endFork(later)
}
