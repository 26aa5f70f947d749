package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/wisp-shim/wisp/reaper"
)

const killSignal = syscall.SIGKILL

// Kill signals init or an exec, without the runtime: what runc's kill would do is done here, through a pidfd that cannot hit a recycled pid.
//
// all reaches every process of the container when asked of init, and the exec's descendants when asked of an exec. As with runc, SIGKILL takes
// the whole container where init has no pid namespace of its own, for nothing else would; and a paused container is thawed to die.
func (t *Task) Kill(ctx context.Context, execID string, sig syscall.Signal, all bool) error {
	if sig < 0 || sig > 64 {
		return fmt.Errorf("kill: no signal has number %d: %w", int(sig), ErrInvalid)
	}
	p, err := t.process(execID)
	if err != nil {
		return err
	}
	child, err := p.target(ctx)
	if err != nil {
		return err
	}
	switch {
	case p.id != "" && all:
		err = t.killTree(child, sig)
	case p.id == "" && sig == killSignal && (all || t.shared) && t.cgroup != nil:
		err = t.cgroup.Kill()
	case p.id == "" && all && t.cgroup != nil:
		err = t.killAll(child, sig)
	default:
		err = child.Signal(sig)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return errFinished()
	}
	if err != nil {
		return fmt.Errorf("kill %s with signal %d: %w", p.name(), int(sig), err)
	}
	if sig == killSignal {
		t.thawKilled(ctx)
	}
	return nil
}

// target is the process to signal. An exec that is being started is waited for.
func (p *process) target(ctx context.Context) (*reaper.Process, error) {
	for {
		p.task.mu.Lock()
		s, child, dead, turn := p.state, p.child, p.dead, p.turn
		p.task.mu.Unlock()
		switch r := table[s][VerbKill]; {
		case r.answer == gone || dead:
			return nil, errFinished()
		case r.answer == refuse:
			return nil, refusal(VerbKill, s, "process")
		case child != nil:
			return child, nil
		case s != Starting:
			return nil, fmt.Errorf("process not created: %w", ErrPrecondition)
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, fmt.Errorf("kill %s, which is %s: %w", p.name(), s, ctx.Err())
		}
	}
}

// thawKilled lets the SIGKILL reach a paused task: the freezer of cgroup v1 holds even that back.
func (t *Task) thawKilled(ctx context.Context) {
	t.mu.Lock()
	paused := t.init.state == Paused
	t.mu.Unlock()
	if !paused || t.cgroup == nil {
		return
	}
	ctx, cancel := context.WithTimeout(runtimeContext(ctx), freezeMax)
	defer cancel()
	if err := t.cgroup.Thaw(ctx); err != nil {
		t.warn("thaw a killed task", "error", err)
	}
}
