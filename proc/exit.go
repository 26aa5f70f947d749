package proc

import (
	"context"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/reaper"
)

// awaitExit is the goroutine that every running process has: it waits for the reaper, does what must precede the announcement, and announces.
// It ends with the process; task.work counts it.
func (p *process) awaitExit() {
	defer p.task.work.Done()
	if p.id == "" {
		p.task.prepareExit()
	}
	<-p.child.Done()
	exit := p.child.Exit()
	p.streams.ProcessExited()
	p.recordDeath(exit)
	if p.id == "" {
		p.task.settle(exit)
	}
	p.finish()
}

// prepareExit does for the exit record what can be done while init lives.
func (t *Task) prepareExit() {
	if err := t.cfg.Bundle.PrepareExit(); err != nil {
		t.warn("prepare exit record", "error", err)
	}
}

// recordDeath makes the exit known to every verb. From here on nothing is signalled and no exec is started.
func (p *process) recordDeath(exit reaper.Exit) {
	t := p.task
	t.mu.Lock()
	defer t.mu.Unlock()
	p.dead, p.exit = true, exit
	if p.id == "" {
		t.initDead = true
	}
}

// settle does, for init, what its announcement must not overtake: the rest of a shared pid namespace is killed, the exits of execs are told,
// an OOM kill is told, and the exit stands in the bundle.
func (t *Task) settle(exit reaper.Exit) {
	if t.shared && t.cgroup != nil {
		if err := t.cgroup.Kill(); err != nil {
			t.warn("kill what init left behind", "error", err)
		}
	}
	t.awaitExecs(holdMax)
	t.thawDead()
	t.checkOOM()
	t.mu.Lock()
	oom := t.init.oom
	t.mu.Unlock()
	err := t.cfg.Bundle.WriteExit(bundle.Exit{
		Pid: exit.Pid, Status: exit.Status, Signal: int(exit.Signal), Core: exit.Core, OOM: oom, ExitedAt: exit.At,
	})
	if err != nil {
		t.warn("write exit record", "error", err)
	}
}

// thawDead lets what is left in the cgroup of a paused task die: a frozen process does not, even after SIGKILL on cgroup v1.
func (t *Task) thawDead() {
	t.mu.Lock()
	paused := t.init.state == Paused || t.init.state == Pausing
	t.mu.Unlock()
	if !paused || t.cgroup == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), freezeMax)
	defer cancel()
	if err := t.cgroup.Thaw(ctx); err != nil {
		t.warn("thaw after init's exit", "error", err)
	}
}

// finish announces the exit, or leaves that to the verb in flight: a start is to be told before the exit it led to.
func (p *process) finish() {
	t := p.task
	t.mu.Lock()
	defer t.mu.Unlock()
	p.ready = true
	close(p.ended)
	if p.state.inFlight() {
		return
	}
	p.announceLocked()
	p.setLocked(Stopped)
}

// awaitExecs returns when no exec runs or is being started, or after limit.
func (t *Task) awaitExecs(limit time.Duration) {
	t.mu.Lock()
	if t.live == 0 {
		t.mu.Unlock()
		return
	}
	none := make(chan struct{})
	t.noneLive = none
	live := t.live
	t.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
		t.warn("init is dead and execs are not: its exit is announced without theirs", "execs", live)
	}
}

// execEndedLocked takes one exec off the count that init's exit is held back for.
func (t *Task) execEndedLocked() {
	t.live--
	if t.live == 0 && t.noneLive != nil {
		close(t.noneLive)
		t.noneLive = nil
	}
}
