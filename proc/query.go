package proc

import (
	"context"
	"fmt"
	"time"
)

// Status is what the wire knows of a state.
type Status uint8

// The values are containerd's.
const (
	StatusUnknown Status = iota
	StatusCreated
	StatusRunning
	StatusStopped
	StatusPaused
	StatusPausing
)

var statuses = [numStates]Status{
	Creating: StatusCreated, Created: StatusCreated, Starting: StatusCreated,
	Running: StatusRunning, Pausing: StatusPausing, Paused: StatusPaused, Resuming: StatusPaused,
	Stopped: StatusStopped, Deleting: StatusStopped, Deleted: StatusStopped,
}

// Report is what State tells of a process.
type Report struct {
	Bundle string
	Pid    int
	Status Status
	Stdio  Stdio
	Exit   Exited // zero until the exit is announced
}

// State answers at once, whatever is in flight. An exec of a paused task is paused with it.
func (t *Task) State(execID string) (Report, error) {
	p, err := t.process(execID)
	if err != nil {
		return Report{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Bundle: string(t.cfg.Bundle), Pid: p.pid, Status: statuses[p.state], Stdio: p.stdio}
	if p.told {
		r.Exit = Exited{Pid: p.pid, Exit: p.exit}
	}
	if s := statuses[t.init.state]; execID != "" && (s == StatusPaused || s == StatusPausing) {
		r.Status = s
	}
	return r, nil
}

// Pid is init's.
func (t *Task) Pid() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.init.pid
}

// Deleted tells whether the container is removed.
func (t *Task) Deleted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.init.state == Deleted
}

// Member is a process of the container.
type Member struct {
	Pid  int
	Exec string // the exec whose process this is, if any
}

// Pids lists the container's processes from its cgroup. A stopped task is refused instead of answered with an empty list: a daemon that is restarted
// takes an empty list for a leaked shim and kills it with the exit it has yet to tell (docs/decisions/0006).
func (t *Task) Pids(ctx context.Context) ([]Member, error) {
	if _, err := t.init.check(ctx, VerbPids); err != nil {
		return nil, err
	}
	pids := []int{t.Pid()}
	if t.cgroup != nil {
		found, err := t.cgroup.Pids()
		if err != nil {
			return nil, fmt.Errorf("list the processes of task %s: %w", t.id, err)
		}
		if len(found) > 0 {
			pids = found
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	byPid := make(map[int]string, len(t.execs))
	for id, p := range t.execs {
		if p.child != nil && !p.dead {
			byPid[p.pid] = id
		}
	}
	members := make([]Member, len(pids))
	for i, pid := range pids {
		members[i] = Member{Pid: pid, Exec: byPid[pid]}
	}
	return members, nil
}

// Stats reads the container's cgroup: the type name and the wire form of containerd's Metrics for its version. It works until Delete.
func (t *Task) Stats() (typeName string, metrics []byte, err error) {
	if t.cgroup == nil || !t.cgroup.Exists() {
		return "", nil, fmt.Errorf("cgroup does not exist: %w", ErrNotFound)
	}
	return t.cgroup.Stats()
}

// IsZero tells whether there is no exit to tell.
func (e Exited) IsZero() bool { return e.At.Equal(time.Time{}) }
