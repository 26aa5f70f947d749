package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	stdio "github.com/wisp-shim/wisp/io"
	"github.com/wisp-shim/wisp/runc"
)

// Delete removes what a stopped process, or one that was never started, has left, and returns how it ended. Asked again it answers the same.
// The work goes on when the caller leaves; a second Delete meanwhile waits for it and shares its outcome.
func (t *Task) Delete(ctx context.Context, execID string) (Exited, error) {
	if execID == "" {
		return t.init.delete(ctx, t.removeContainer)
	}
	if e, ok := t.unearth(execID); ok {
		return e, nil
	}
	p, err := t.process(execID)
	if err != nil {
		return Exited{}, err
	}
	return p.delete(ctx, p.removeExec)
}

func (p *process) delete(ctx context.Context, remove func(context.Context) error) (Exited, error) {
	from, err := p.check(ctx, VerbDelete)
	if e := p.exited(); errors.Is(err, ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return Exited{}, err
	}
	err = remove(runtimeContext(ctx))
	p.land(VerbDelete, from, err, func() {
		switch p.id {
		case "":
			p.task.emitLocked(Event{Kind: EventDelete, At: time.Now(), Pid: p.pid, Exit: p.exit})
		default:
			delete(p.task.execs, p.id)
			p.task.buried.add(p.id, Exited{Pid: p.pid, Exit: p.exit})
		}
		if !p.told {
			p.haltLocked()
		}
	})
	return p.exited(), err
}

// removeContainer is Delete's work for init: out of the way what was never started, hand on the rest of its output, then remove the container from
// the runtime, the root file system and the streams of execs that nobody deleted.
func (t *Task) removeContainer(ctx context.Context) error {
	if err := t.endUnstarted(ctx); err != nil {
		return err
	}
	t.drain(ctx, t.init)
	if t.oom != nil {
		t.work.Add(1)
		go t.endOOM()
	}
	if err := t.cfg.Runtime.Delete(ctx, t.id, false); err != nil && !errors.Is(err, runc.ErrNotExist) {
		return err
	}
	for _, p := range t.processes() {
		p.closeStreams()
		if p.id != "" {
			_ = os.Remove(p.pidFile()) // of an exec that nobody deleted
		}
	}
	return t.unmountRootfs(ctx)
}

// endUnstarted kills an init that was created and never started, and announces its exit: a Wait on it ends, and TaskExit precedes TaskDelete.
func (t *Task) endUnstarted(ctx context.Context) error {
	p := t.init
	t.mu.Lock()
	told, child := p.told, p.child
	t.mu.Unlock()
	if told {
		return nil
	}
	if err := child.Signal(killSignal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s, which was not started: %w", p.name(), err)
	}
	timer := time.NewTimer(killMax)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return fmt.Errorf("delete %s: process %d lives %v after SIGKILL: %w", p.name(), child.Pid(), killMax, ErrPrecondition)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.announceLocked()
	return nil
}

// drain hands on what the process wrote. A sink that takes nothing more costs the rest, but not the Delete.
func (t *Task) drain(ctx context.Context, p *process) {
	streams := p.open()
	if streams == nil {
		return
	}
	if err := streams.Drain(ctx); err != nil {
		t.warn("output not handed on", "process", p.name(), "error", err)
	}
}

// open is the process's streams, nil when it was never started.
func (p *process) open() *stdio.Streams {
	p.task.mu.Lock()
	defer p.task.mu.Unlock()
	return p.streams
}

func (p *process) closeStreams() {
	streams := p.open()
	if streams == nil {
		return
	}
	if err := streams.Close(); err != nil {
		p.task.warn("close streams", "process", p.name(), "error", err)
	}
}

// removeExec is Delete's work for an exec.
func (p *process) removeExec(ctx context.Context) error {
	p.task.drain(ctx, p)
	p.closeStreams()
	if err := os.Remove(p.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete exec %s: %w", p.id, err)
	}
	return nil
}

// processes is init and every exec.
func (t *Task) processes() []*process {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []*process{t.init}
	for _, p := range t.execs {
		all = append(all, p)
	}
	return all
}

// Join waits for the goroutines of a deleted task.
func (t *Task) Join() { t.work.Wait() }

// gravesMax is how many deleted execs are remembered, so that a repeated Delete of one answers the same (field report F20). It is bounded, for a
// container may run execs for years.
const gravesMax = 64

// graves remembers the execs that were deleted last, oldest first.
type graves struct {
	ids   []string
	exits []Exited
}

func (g *graves) add(id string, e Exited) {
	if len(g.ids) == gravesMax {
		g.ids, g.exits = g.ids[1:], g.exits[1:]
	}
	g.ids, g.exits = append(g.ids, id), append(g.exits, e)
}

// unearth finds what the last Delete of an exec answered, unless the id is in use again.
func (t *Task) unearth(execID string) (Exited, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.execs[execID] != nil {
		return Exited{}, false
	}
	for i := len(t.buried.ids) - 1; i >= 0; i-- {
		if t.buried.ids[i] == execID {
			return t.buried.exits[i], true
		}
	}
	return Exited{}, false
}
