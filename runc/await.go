package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/reaper"
)

// errBudget is the cause of a kill because the verb's own budget has passed.
var errBudget = errors.New("its time budget has passed")

// await waits for the runtime's exit. If ctx or the budget ends first, it kills
// the runtime with all that it has started, and says why.
func (r *Runtime) await(ctx context.Context, v verb, p *reaper.Process) error {
	budget := v.budget
	if r.Budget > 0 {
		budget = r.Budget
	}
	timer := time.NewTimer(budget)
	defer timer.Stop()
	var cause error
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		cause = ctx.Err()
	case <-timer.C:
		cause = fmt.Errorf("%w: %v", errBudget, budget)
	}
	select {
	case <-p.Done(): // both at once: it has done its work
		return nil
	default:
	}
	killTree(p)
	timer.Reset(killGrace)
	select {
	case <-p.Done():
	case <-timer.C:
		cause = fmt.Errorf("%w (SIGKILL was sent %v ago, and it is still there)", cause, killGrace)
	}
	return cause
}

// killTree kills the runtime with its descendants and its process group. Neither
// is enough by itself: `runc init` leaves the group for a session of its own, and
// a child whose parent has ended is no descendant any more.
//
// The runtime is stopped first. So it neither starts nor reaps children while
// they are looked at, and its pid, which is the group's id, stays its own: the reaper
// cannot reap what has not exited.
func killTree(p *reaper.Process) {
	if p.Signal(syscall.SIGSTOP) != nil {
		return // it has exited
	}
	killDescendants(p.Pid())
	if p.Signal(0) == nil {
		_ = unix.Kill(-p.Pid(), syscall.SIGKILL) // it fails only if all are gone
	}
	_ = p.Signal(syscall.SIGKILL) // the same
}

// killDescendants kills all descendants of a process, which must be stopped.
func killDescendants(pid int) {
	for _, child := range children(pid) {
		fd, err := unix.PidfdOpen(child, 0)
		if err != nil {
			continue // it is gone
		}
		// Were it reaped and its pid given to another before the pidfd pinned it, the
		// other would hardly be a child of this very parent.
		if parentOf(child) == pid && unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0) == nil {
			killDescendants(child)
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it fails only if it is gone
		}
		_ = unix.Close(fd)
	}
}

// children are the processes that the threads of pid have started and not yet
// waited for (proc_pid_task_children(5)).
func children(pid int) []int {
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		return nil
	}
	var found []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread is gone
		}
		for _, field := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(field); err == nil && child > 1 {
				found = append(found, child)
			}
		}
	}
	return found
}

// parentOf is the parent's pid, 0 if there is no such process.
func parentOf(pid int) int {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The command stands in parentheses and may hold anything, these too.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}
