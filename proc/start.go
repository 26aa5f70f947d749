package proc

import (
	"context"
	"fmt"
	"time"
)

// Start runs the user's command in init (execID "") or an exec, and returns its pid.
func (t *Task) Start(ctx context.Context, execID string) (int, error) {
	p, err := t.process(execID)
	if err != nil {
		return 0, err
	}
	if execID == "" {
		return p.startInit(ctx)
	}
	return p.startExec(ctx)
}

func (p *process) startInit(ctx context.Context) (int, error) {
	t := p.task
	from, err := p.check(ctx, VerbStart)
	if err != nil {
		return 0, err
	}
	err = t.cfg.Runtime.Start(runtimeContext(ctx), t.id)
	p.land(VerbStart, from, err, func() {
		t.emitLocked(Event{Kind: EventStart, At: time.Now(), Pid: p.pid})
	})
	return p.pid, err
}

// startExec has init's life in view at every step: an exec that is being started is counted, so that init's exit waits for its outcome.
func (p *process) startExec(ctx context.Context) (int, error) {
	t := p.task
	from, err := p.check(ctx, VerbStart)
	if err != nil {
		return 0, err
	}
	if err := t.countExec(); err != nil {
		p.land(VerbStart, from, err, nil)
		return 0, err
	}
	err = p.runExec(ctx)
	p.land(VerbStart, from, err, func() {
		p.failed = nil
		t.emitLocked(Event{Kind: EventExecStarted, At: time.Now(), Exec: p.id, Pid: p.pid})
		t.work.Add(1)
		go p.awaitExit()
	})
	if err != nil {
		p.failStart(err)
		return 0, err
	}
	return p.pid, nil
}

// countExec adds an exec to those that init's exit waits for; too late once init is reaped.
func (t *Task) countExec() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.initDead {
		return fmt.Errorf("container %s init process is not running: %w", t.id, ErrPrecondition)
	}
	t.live++
	return nil
}

// failStart tells those who wait for the exec that there is no exit to come from this start. The exec may be started again.
func (p *process) failStart(err error) {
	t := p.task
	t.mu.Lock()
	defer t.mu.Unlock()
	p.failed = err
	p.haltLocked()
	t.execEndedLocked()
}

// haltLocked releases whoever waits for an exit that will not come.
func (p *process) haltLocked() {
	close(p.halted)
	p.halted = make(chan struct{})
}

// Wait returns how the process ended, once its exit is announced. It registers at once, in any state, and holds nothing while it waits.
func (t *Task) Wait(ctx context.Context, execID string) (Exited, error) {
	p, err := t.process(execID)
	if err != nil {
		return Exited{}, err
	}
	t.mu.Lock()
	halted := p.halted
	t.mu.Unlock()
	select {
	case <-p.done:
		return p.exited(), nil
	case <-halted:
		return Exited{}, p.waitFailure()
	case <-ctx.Done():
		return Exited{}, fmt.Errorf("wait for %s: %w", p.name(), ctx.Err())
	}
}

func (p *process) exited() Exited {
	p.task.mu.Lock()
	defer p.task.mu.Unlock()
	return Exited{Pid: p.pid, Exit: p.exit}
}

func (p *process) waitFailure() error {
	p.task.mu.Lock()
	defer p.task.mu.Unlock()
	if p.failed != nil && p.state != Deleted {
		return fmt.Errorf("wait for %s, which could not be started (%v): %w", p.name(), p.failed, ErrPrecondition)
	}
	return errNoExec(p.id)
}
