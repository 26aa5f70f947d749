package runc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/wisp-shim/wisp/reaper"
)

// Kinds of errors, for errors.Is. Also context.Canceled and
// context.DeadlineExceeded, when it was the caller's ctx that ended a call.

// Errors of a call that got no answer.
var (
	// ErrNoBinary means that the runtime is not there or cannot be run.
	ErrNoBinary = errors.New("runtime binary cannot be run")
	// ErrTimeout means that the verb's budget has passed and the runtime was killed.
	ErrTimeout = errors.New("runtime took too long")
)

// Errors that are the runtime's answer, told by its words.
var (
	// ErrNotExist means that there is no such container.
	ErrNotExist = errors.New("container does not exist")
	// ErrExists is Create's answer when there is such a container already.
	ErrExists = errors.New("container exists already")
	// ErrNotRunning means that the container, or the process, has ended. runc gives
	// it also when a paused container is to be paused.
	ErrNotRunning = errors.New("container is not running")
	// ErrPaused means that the container is paused and the verb needs one that runs.
	ErrPaused = errors.New("container is paused")
)

// Error is a failed call of the runtime. Its text begins with what containerd's
// shim says for the verb, if it has something, and goes on with the runtime's own words.
type Error struct {
	Verb    string
	Binary  string        // as the Runtime has it
	Message string        // the runtime's own words, unchanged; empty if it had none
	Exit    reaper.Exit   // how the runtime ended; zero if it was not started, or would not die
	Elapsed time.Duration // from its start to its end
	Kind    error         // one of the kinds of this package or a ctx error; nil if the words tell none

	prefix string
	detail string // what follows the prefix
}

func (e *Error) Error() string {
	if e.prefix == "" {
		return e.detail
	}
	return e.prefix + ": " + e.detail
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

// explain fills in what a finished run tells. cause is why it was killed, if it was.
func (e *Error) explain(cause error, log words, printed string) {
	e.Message = log.message
	if e.Message == "" {
		e.Message = printed
	}
	if cause != nil {
		e.Kind = killKind(cause)
		e.detail = fmt.Sprintf("%s %s was killed after %v: %v", e.Binary, e.Verb, e.Elapsed.Round(time.Millisecond), cause)
		if e.Message != "" {
			e.detail += "; it had said: " + e.Message
		}
		return
	}
	e.Kind = classify(e.Verb, e.Message)
	switch {
	case log.message != "" && e.prefix != "":
		e.detail = log.message
	case log.err != nil && e.prefix != "":
		e.detail = fmt.Sprintf("unable to retrieve OCI runtime error (%v): %s", log.err, e.exited(printed))
	case log.message != "" && printed == "":
		e.detail = e.exited(log.message)
	default:
		e.detail = e.exited(printed)
	}
}

// exited tells how the runtime ended, and what it said.
func (e *Error) exited(said string) string {
	how := "exit status " + strconv.Itoa(e.Exit.Status)
	if e.Exit.Signal != 0 {
		how = "signal: " + e.Exit.Signal.String()
		if e.Exit.Core {
			how += " (core dumped)"
		}
	}
	if said != "" {
		how += ": " + said
	}
	return e.Binary + " did not terminate successfully: " + how
}

func killKind(cause error) error {
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(cause, kind) {
			return kind
		}
	}
	return ErrTimeout
}

// startKind is the kind of an error of starting the runtime.
func startKind(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return ErrNoBinary
	}
	return nil
}
