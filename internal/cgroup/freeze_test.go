package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFreezeStopsAndThawResumes(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, busy := start("for i in 1 2 3; do while :; do :; done & done; echo up; while :; do echo tick; done >/dev/null")
		busy.line()
		for range 3 {
			for range 2 { // it may be repeated
				if err := c.Freeze(patient(t)); err != nil {
					t.Fatal(err)
				}
				if frozen, err := c.Frozen(); !frozen || err != nil {
					t.Fatalf("frozen %v, %v", frozen, err)
				}
			}
			before := cpuTime(t, busy.pid())
			for range 100 {
				if now := cpuTime(t, busy.pid()); now != before {
					t.Fatalf("a frozen process goes on: %s, then %s", before, now)
				}
			}
			for range 2 {
				if err := c.Thaw(patient(t)); err != nil {
					t.Fatal(err)
				}
				if frozen, err := c.Frozen(); frozen || err != nil {
					t.Fatalf("frozen %v, %v", frozen, err)
				}
			}
			if !until(func() bool { return cpuTime(t, busy.pid()) != before }) {
				t.Fatal("a thawed process does not go on")
			}
		}
	})
}

// cpuTime is the time that the process has run, in ns.
func cpuTime(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:max(0, len(data)-1)])
}

// fickle is a context that ends after it has been asked some times.
type fickle struct {
	context.Context
	asked, ends int
}

func (f *fickle) Err() error {
	if f.asked++; f.asked > f.ends {
		return context.Canceled
	}
	return nil
}

func TestFreezeThatIsGivenUpLeavesNothingFrozen(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, busy := start("for i in 1 2 3; do while :; do :; done & done; echo up; wait")
		busy.line()
		for ends := range 5 {
			// It may freeze at any look. What counts is that the answer and the state agree.
			err := c.Freeze(&fickle{Context: context.Background(), ends: ends})
			frozen, stateErr := c.Frozen()
			if stateErr != nil || frozen != (err == nil) || err != nil && !errors.Is(err, context.Canceled) || ends == 0 && err == nil {
				t.Errorf("after %d looks: error %v, frozen %v (%v)", ends, err, frozen, stateErr)
			}
			if err := c.Thaw(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A cgroup whose processes fork all the time can be frozen: the v1 freezer needs to be asked more than once.
func TestFreezeCatchesThoseWhoFork(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, forker := start("echo up; while :; do /bin/true; done")
		forker.line()
		for range 20 {
			if err := c.Freeze(patient(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.Thaw(patient(t)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhoeverIsInsideFreezesAndKillsNothing(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, sleeper := start("exec sleep 1000")
		me := strconv.Itoa(os.Getpid())
		var back []string
		for _, e := range ownHierarchies(t) { // where this process is now
			back = append(back, filepath.Join("/sys/fs/cgroup", mountOf(e), e.path))
		}
		dir := c.at(c.main())
		if err := put(dir, "cgroup.procs", me); err != nil {
			t.Fatal(err)
		}
		freezeErr, killErr := c.Freeze(patient(t)), c.Kill()
		for _, dir := range back {
			_ = put(dir, "cgroup.procs", me)
		}
		if !errors.Is(freezeErr, ErrShared) || !errors.Is(killErr, ErrShared) {
			t.Errorf("freeze: %v; kill: %v", freezeErr, killErr)
		}
		if got := mustPids(t, c); len(got) != 1 || got[0] != sleeper.pid() {
			t.Errorf("pids %v", got)
		}
	})
}

// mountOf is where a hierarchy is mounted by convention.
func mountOf(e entry) string {
	if e.controllers == "" && !host().unified() {
		return "unified"
	}
	return strings.TrimPrefix(e.controllers, "name=")
}
