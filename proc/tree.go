package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/reaper"
)

// killAll signals every process of the container, init first.
func (t *Task) killAll(init *reaper.Process, sig syscall.Signal) error {
	first := init.Signal(sig)
	pids, err := t.cgroup.Pids()
	if err != nil {
		return errors.Join(first, err)
	}
	for _, pid := range pids {
		if pid != init.Pid() {
			first = errors.Join(first, signalMember(pid, sig, nil))
		}
	}
	return first
}

// killTree signals an exec, and the processes of the container that descend from it or belong to its session: the runtime makes every exec the leader of
// one, so that children whose parent has gone are still known by it (field report F44). Processes outside the container are not looked at.
func (t *Task) killTree(leader *reaper.Process, sig syscall.Signal) error {
	var pids []int
	if t.cgroup != nil {
		all, err := t.cgroup.Pids()
		if err != nil {
			return fmt.Errorf("list the container's processes: %w", err)
		}
		pids = all
	}
	members := descendants(leader.Pid(), pids)
	err := leader.Signal(sig)
	for _, pid := range members {
		pinned := func() bool { return slices.Contains(descendants(leader.Pid(), pids), pid) }
		err = errors.Join(err, signalMember(pid, sig, pinned))
	}
	return err
}

// descendants are those of pids that belong to the leader's session or have it among their ancestors. The leader itself is not one.
func descendants(leader int, pids []int) []int {
	parents := make(map[int]int, len(pids))
	member := map[int]bool{leader: true}
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil {
			continue // gone meanwhile
		}
		parents[pid] = s.parent
		if s.session == leader {
			member[pid] = true
		}
	}
	var found []int
	for _, pid := range pids {
		for at := pid; at > 1; at = parents[at] {
			if member[at] {
				if pid != leader {
					found = append(found, pid)
				}
				break
			}
		}
	}
	return found
}

// signalMember signals a process that is not our child. The pidfd pins the process; still, the pid may have been recycled before it was opened, so
// check, if any, looks again once it is pinned.
func signalMember(pid int, sig syscall.Signal, check func() bool) error {
	if pid <= 1 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	if check != nil && !check() {
		return nil
	}
	return ignoreGone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// stat is what /proc/PID/stat says of a process's place in the tree (proc_pid_stat(5)).
type stat struct{ parent, session int }

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The command stands in parentheses and may hold anything, parentheses too.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 4 {
		return stat{}, fmt.Errorf("parse /proc/%d/stat: too short", pid)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("parse parent of %d: %w", pid, err)
	}
	session, err := strconv.Atoi(fields[3])
	if err != nil {
		return stat{}, fmt.Errorf("parse session of %d: %w", pid, err)
	}
	return stat{parent, session}, nil
}
