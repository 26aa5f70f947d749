package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// killRounds bounds Kill where the freezer does not work and processes fork faster than they are killed: with freezeMax, a few seconds.
const killRounds = 20

// Kill sends SIGKILL to every process in the cgroup and below, also when it is frozen; on cgroup v1, which holds back even that from frozen processes,
// it is thawed by that. It returns when all are condemned, which is before all are dead. A cgroup that is gone or empty is no error.
func (c *Cgroup) Kill() error {
	found, err := c.others()
	if err == nil && len(found) > 0 {
		err = c.killAll()
	}
	if err != nil && !isGone(err) {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

func (c *Cgroup) killAll() error {
	if c.v2 {
		err := put(c.dirs[0], "cgroup.kill", "1")
		// Linux before 5.14 has no such file; a threaded cgroup does not take it.
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return c.killEach()
}

// killEach freezes the cgroup, so that nobody forks away from the signals, kills what is there, and thaws. If it does not freeze in time, it is repeated until
// a round finds nobody new.
func (c *Cgroup) killEach() error {
	condemned := make(map[int]bool)
	for range killRounds {
		ctx, cancel := context.WithTimeout(context.Background(), freezeMax)
		frozen := c.Freeze(ctx) == nil
		cancel()
		found, err := c.Pids()
		fresh := 0
		for _, pid := range found {
			if !condemned[pid] {
				condemned[pid] = true
				fresh++
				err = errors.Join(err, c.kill(pid, frozen))
			}
		}
		err = errors.Join(err, c.thawAll())
		if err != nil || frozen || fresh == 0 {
			return err
		}
	}
	return fmt.Errorf("%s gets new processes faster than they are killed: %w", c.at(c.main()), unix.EAGAIN)
}

// kill kills a process of the cgroup. One that is frozen on v1 cannot end, so that its pid is still its own. Any other is pinned by a pidfd and
// looked up again, so that a recycled pid is not hit.
func (c *Cgroup) kill(pid int, frozen bool) error {
	if pid <= 1 {
		return nil
	}
	var err error
	if frozen && !c.v2 {
		err = unix.Kill(pid, unix.SIGKILL)
	} else {
		err = c.killPinned(pid)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

func (c *Cgroup) killPinned(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	thread := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) // of a threaded cgroup; its process cannot be pinned through it
	if err != nil && !thread {
		return err
	}
	if !thread {
		defer unix.Close(fd)
	}
	if found, err := c.Pids(); err != nil || !slices.Contains(found, pid) {
		return err
	}
	if thread {
		return unix.Kill(pid, unix.SIGKILL)
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// thawAll thaws the cgroup and those below, which a container may have frozen for itself: on v1 nobody dies in a frozen one. Without a freezer there is
// nothing to thaw.
func (c *Cgroup) thawAll() error {
	dir := c.at(freezer)
	switch {
	case dir == "":
		return nil
	case c.v2:
		return c.thaw(dir)
	}
	return walk(dir, c.thaw)
}
