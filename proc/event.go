package proc

import (
	"time"

	"github.com/wisp-shim/wisp/internal/mount"
	"github.com/wisp-shim/wisp/reaper"
)

// EventKind says what happened.
type EventKind uint8

// The events of a task. The order that is kept: EventCreate, EventStart, EventExit of init, EventDelete; EventExecAdded, EventExecStarted,
// EventExit of an exec; every exec's exit before init's; EventOOM before the exit it led to.
const (
	EventCreate EventKind = iota
	EventStart
	EventExit
	EventDelete
	EventOOM
	EventExecAdded
	EventExecStarted
	EventPaused
	EventResumed
)

// Event is one thing that happened to a task. It is handed over under the task's lock, in order: the receiver may queue it and no more.
type Event struct {
	Kind EventKind
	At   time.Time
	Task string
	Exec string // "" for init
	Pid  int
	Exit reaper.Exit // EventExit, EventDelete
	// EventCreate
	Bundle string
	Rootfs []mount.Mount
	Stdio  Stdio
}

// Stdio is where a process's streams go, as the manager gave it: paths or URIs, empty for none.
type Stdio struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}
