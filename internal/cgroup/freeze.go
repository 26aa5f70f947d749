package cgroup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What freezer.state of cgroup v1 takes and tells.
const (
	stateFrozen = "FROZEN"
	stateThawed = "THAWED"
)

const (
	napsShort  = 16 // this many pauses of napFirst; then they double
	nudgeEvery = 50 // tries after which a v1 freezer is thawed for a moment: one that sees new processes all the time may never get there
)

// Freeze stops every process in the cgroup and returns when all have stopped: the runtime then says "paused". Freezing what is frozen is no error. When
// ctx ends first, the cgroup is thawed again and the error wraps ctx.Err().
func (c *Cgroup) Freeze(ctx context.Context) error {
	dir, err := c.need(freezer)
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if _, err = c.others(); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	attempt := freeze1
	if c.v2 {
		attempt = freeze2
	}
	for i := 0; ; i++ {
		frozen, err := attempt(dir, i)
		if frozen {
			return nil
		}
		if err == nil {
			err = nap(ctx, i)
		}
		if err != nil {
			_ = c.thaw(dir) // half frozen is the worst of all; what fails here has failed above
			return fmt.Errorf("freeze %s: %w", dir, err)
		}
	}
}

// freeze1 asks again every time: the kernel looks at new processes only when it is asked.
func freeze1(dir string, i int) (frozen bool, err error) {
	if i%nudgeEvery == nudgeEvery-1 {
		if err := put(dir, "freezer.state", stateThawed); err != nil {
			return false, err
		}
	}
	if err := put(dir, "freezer.state", stateFrozen); err != nil {
		return false, err
	}
	state, err := slurp(dir, "freezer.state")
	return strings.TrimSpace(state) == stateFrozen, err
}

func freeze2(dir string, i int) (frozen bool, err error) {
	if i == 0 {
		if err := put(dir, "cgroup.freeze", "1"); err != nil {
			return false, err
		}
	}
	events, err := slurp(dir, "cgroup.events")
	return strings.Contains(events, "frozen 1\n"), err
}

// Thaw lets the processes run again. Thawing what runs is no error. A cgroup that is frozen through one above it stays so.
func (c *Cgroup) Thaw(context.Context) error {
	dir, err := c.need(freezer)
	if err == nil {
		err = c.thaw(dir)
	}
	if err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

func (c *Cgroup) thaw(dir string) error {
	if c.v2 {
		return put(dir, "cgroup.freeze", "0")
	}
	return put(dir, "freezer.state", stateThawed)
}

// Frozen tells whether the cgroup itself, not one above it, has been frozen, and all its processes have stopped.
func (c *Cgroup) Frozen() (bool, error) {
	dir, err := c.need(freezer)
	if err != nil {
		return false, err
	}
	own, state, want := "freezer.self_freezing", "freezer.state", stateFrozen
	if c.v2 {
		own, state, want = "cgroup.freeze", "cgroup.events", "frozen 1"
	}
	text, err := slurp(dir, own)
	if err != nil || strings.TrimSpace(text) != "1" {
		return false, err
	}
	text, err = slurp(dir, state)
	return strings.Contains(text, want), err
}

// nap waits before look i+1. The kernel tells nobody when a v1 freezer is done. The first pauses are shorter than Go's timers can be, and hold up their
// thread; who is not frozen by then is asleep in a system call or not scheduled.
func nap(ctx context.Context, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if i < napsShort {
		pause := unix.NsecToTimespec(int64(napFirst))
		_ = unix.Nanosleep(&pause, nil) // cut short by a signal is as good
		return nil
	}
	timer := time.NewTimer(min(napFirst<<min(i-napsShort, 20), napLast))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
