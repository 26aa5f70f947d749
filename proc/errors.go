package proc

import (
	"errors"
	"fmt"
)

// The kinds of error that a caller can act on; package shim makes wire codes of them. Returned wrapped, with a text that tells the rest.
var (
	ErrNotFound     = errors.New("not found")           // no such task or process, or it has ended
	ErrExists       = errors.New("already exists")      // the id is taken
	ErrPrecondition = errors.New("failed precondition") // not in this state
	ErrInvalid      = errors.New("invalid argument")    // the request makes no sense in any state
)

// The containerd texts that peers match.
func errNoExec(id string) error {
	return fmt.Errorf("process does not exist %s: %w", id, ErrNotFound)
}

func errFinished() error {
	return fmt.Errorf("process already finished: %w", ErrNotFound)
}

// refusal is the error for a verb that the state does not allow.
func refusal(v Verb, s State, role string) error {
	if v == VerbExec {
		return fmt.Errorf("cannot exec in a %s state: %w", s, ErrPrecondition)
	}
	return fmt.Errorf("cannot %s a %s %s: %w", v, s, role, ErrPrecondition)
}
