package proc

import "fmt"

// State is where a process stands. What is in flight is a state of its own.
//
//	creating -> created -> starting -> running <-> pausing/resuming <-> paused
//	               |                      |                              |
//	               |                      v                              |
//	               +-> deleting <----- stopped <-------------------------+
//	                      |
//	                      v
//	                   deleted
//
// An exec has no creating and is never paused. Exactly one function writes a state: process.setLocked.
type State uint8

// The states, in the order of a life.
const (
	Creating State = iota // the runtime's create runs
	Created               // init waits to be started; an exec is known, nothing runs
	Starting              // the runtime's start or exec runs
	Running
	Pausing // the freezer works
	Paused
	Resuming // the freezer thaws
	Stopped  // its exit is announced
	Deleting // what it left is being removed
	Deleted
	numStates
)

var stateNames = [numStates]string{"creating", "created", "starting", "running", "pausing", "paused", "resuming", "stopped", "deleting", "deleted"}

func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// inFlight tells whether a verb is at work in s. Whoever brought the process there will take it on.
func (s State) inFlight() bool {
	switch s {
	case Creating, Starting, Pausing, Resuming, Deleting:
		return true
	}
	return false
}

// Verb is a request that depends on the state. Those that work in every state (State, Wait, CloseIO, ResizePty, Stats) have no row.
type Verb uint8

// The verbs. Exec is asked of init: may a process be added to this task.
const (
	VerbStart Verb = iota
	VerbPause
	VerbResume
	VerbDelete
	VerbKill
	VerbExec
	VerbUpdate
	VerbPids
	numVerbs
)

var verbNames = [numVerbs]string{"start", "pause", "resume", "delete", "kill", "exec", "update", "list the processes of"}

func (v Verb) String() string {
	if v < numVerbs {
		return verbNames[v]
	}
	return fmt.Sprintf("verb(%d)", uint8(v))
}

// answer is what a verb meets in a state.
type answer uint8

const (
	refuse answer = iota // ErrPrecondition: "cannot V a S process"
	pass                 // allowed, the state stays
	move                 // allowed, moves into rule.via and from there to rule.to
	wait                 // another verb is in flight: wait for it, then look again
	gone                 // ErrNotFound: the process is no more
)

// rule is one cell of the table.
type rule struct {
	answer answer
	via    State // move: the state while the verb works
	to     State // move: the state when it has succeeded. When it fails, the state is what it was before
}

// table is the program: what each verb meets in each state. docs/states.md is printed from it, and a test visits each cell.
var table = [numStates][numVerbs]rule{
	Creating: every(wait).but(VerbKill, refuse).but(VerbPids, refuse),
	Created: every(refuse).
		move(VerbStart, Starting, Running).
		move(VerbDelete, Deleting, Deleted).
		but(VerbKill, pass).but(VerbExec, pass).but(VerbUpdate, pass).but(VerbPids, pass),
	Starting: every(wait).but(VerbKill, pass).but(VerbExec, pass).but(VerbPids, pass),
	Running: every(refuse).
		move(VerbPause, Pausing, Paused).
		but(VerbKill, pass).but(VerbExec, pass).but(VerbUpdate, pass).but(VerbPids, pass),
	Pausing: every(wait).but(VerbKill, pass).but(VerbPids, pass),
	Paused: every(refuse).
		move(VerbResume, Resuming, Running).
		but(VerbKill, pass).but(VerbUpdate, pass).but(VerbPids, pass),
	Resuming: every(wait).but(VerbKill, pass).but(VerbPids, pass),
	Stopped: every(refuse).
		move(VerbDelete, Deleting, Deleted).
		but(VerbKill, gone),
	Deleting: every(wait).but(VerbKill, gone).but(VerbPids, refuse),
	Deleted:  every(gone),
}

type row [numVerbs]rule

func every(a answer) row {
	var r row
	for v := range r {
		r[v].answer = a
	}
	return r
}

func (r row) but(v Verb, a answer) row {
	r[v] = rule{answer: a}
	return r
}

func (r row) move(v Verb, via, to State) row {
	r[v] = rule{answer: move, via: via, to: to}
	return r
}
