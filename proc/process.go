package proc

import (
	"context"
	"fmt"

	stdio "github.com/wisp-shim/wisp/io"
	"github.com/wisp-shim/wisp/reaper"
)

// process is what init and an exec have in common. All fields below mu's comment are guarded by the task's mutex.
type process struct {
	task  *Task
	id    string // "" for init
	stdio Stdio

	spec execSpec // of an exec, as the manager gave it; used by the one start in flight

	// task.mu guards:
	state    State
	child    *reaper.Process // nil until the runtime has made it
	pid      int             // kept after the exit
	dead     bool            // reaped; exit is valid
	ready    bool            // all that must come before the announcement has come: who leaves a state in flight announces
	told     bool            // the exit is announced
	exit     reaper.Exit
	oom      bool
	streams  *stdio.Streams
	stdinEOF bool          // CloseIO came before there were streams
	size     *winsize      // ResizePty came before there was a console
	failed   error         // why the last start of an exec failed
	turn     chan struct{} // closed and renewed whenever a state in flight is left
	done     chan struct{} // closed when the exit is announced
	halted   chan struct{} // closed when a start failed or the process was deleted unstarted: waiters are told
	ended    chan struct{} // closed when ready is set
}

type winsize struct{ width, height uint16 }

// Exited is how a process ended, as Wait and Delete tell it. A process that never ran has pid 0 and a zero time.
type Exited struct {
	Pid int
	reaper.Exit
}

func newProcess(t *Task, id string, s Stdio, state State) *process {
	return &process{
		task: t, id: id, stdio: s, state: state,
		turn: make(chan struct{}), done: make(chan struct{}), halted: make(chan struct{}), ended: make(chan struct{}),
	}
}

// name is how errors call the process.
func (p *process) name() string {
	if p.id == "" {
		return "task " + p.task.id
	}
	return "exec " + p.id + " of task " + p.task.id
}

// setLocked is the one place where a state is written.
func (p *process) setLocked(s State) {
	left := p.state
	p.state = s
	if left.inFlight() && !s.inFlight() {
		close(p.turn)
		p.turn = make(chan struct{})
	}
}

// check tells whether v is allowed now, waiting for its turn while another verb is in flight, and moves p if the table says so. It returns
// the state that p was in. With a move, the caller owns the flight: it must call land.
func (p *process) check(ctx context.Context, v Verb) (State, error) {
	for {
		p.task.mu.Lock()
		s, turn := p.state, p.turn
		r := table[s][v]
		if r.answer == move {
			p.setLocked(r.via)
		}
		p.task.mu.Unlock()
		switch r.answer {
		case pass, move:
			return s, nil
		case gone:
			return s, errFinished()
		case refuse:
			return s, refusal(v, s, "process")
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return s, fmt.Errorf("%s %s, which is %s: %w", v, p.name(), s, ctx.Err())
		}
	}
}

// land ends the flight that check began from state from with verb v: forward when err is nil, back when not. An exit that came meanwhile is
// announced here, after then (which may be nil) has told what the verb did.
func (p *process) land(v Verb, from State, err error, then func()) {
	p.task.mu.Lock()
	defer p.task.mu.Unlock()
	if err == nil && then != nil {
		then()
	}
	to := from
	if err == nil {
		to = table[from][v].to
	}
	if p.ready && !p.told {
		p.announceLocked()
		to = Stopped
	} else if p.told && to != Deleted {
		to = Stopped
	}
	p.setLocked(to)
}

// announceLocked tells the world of p's exit: the event first, then whoever waits.
func (p *process) announceLocked() {
	p.told = true
	p.task.emitLocked(Event{Kind: EventExit, At: p.exit.At, Exec: p.id, Pid: p.pid, Exit: p.exit})
	close(p.done)
	if p.id != "" {
		p.task.execEndedLocked()
	}
}
