package runc

import "strings"

// phrase is something that a runtime says: parts that follow one another, in lower
// case. All matching of runtimes' words is in this file; its test feeds it what
// runc 1.1.5 and 1.5.2 and crun 1.8.1 print.
//
// Where it can, a phrase names the container: `namespace "x" does not exist` is about
// something else.
type phrase struct {
	kind  error
	verb  string // the one verb that it counts for; empty: all
	parts []string
}

func phrases() []phrase {
	return []phrase{
		// runc 1.1 to 1.5.
		{kind: ErrExists, parts: []string{"container with given id already exists"}},
		{kind: ErrNotExist, parts: []string{"container does not exist"}},
		{kind: ErrPaused, parts: []string{"cannot exec in a paused container"}},
		{kind: ErrNotRunning, parts: []string{"container not running"}},
		{kind: ErrNotRunning, parts: []string{"cannot exec in a stopped container"}},
		{kind: ErrNotRunning, parts: []string{"cannot start a container that has stopped"}},
		// runc 1.0.
		{kind: ErrExists, parts: []string{"container with id exists"}},
		{kind: ErrNotExist, parts: []string{`container "`, `" does not exist`}},
		// crun.
		{kind: ErrExists, parts: []string{"container `", "` already exists"}},
		{kind: ErrNotExist, parts: []string{"container `", "` does not exist"}},
		{kind: ErrNotExist, parts: []string{"error opening file `", "/status`: no such file"}},
		{kind: ErrNotExist, verb: "delete", parts: []string{"cannot open directory '", "': no such file"}},
		{kind: ErrPaused, parts: []string{"container `", "` is paused"}},
		{kind: ErrNotRunning, parts: []string{"container `", "` is not running"}},
		// Go and the kernel.
		{kind: ErrNotRunning, parts: []string{"os: process already finished"}},
		{kind: ErrNotRunning, parts: []string{"no such process"}},
	}
}

// classify tells the kind of error that the runtime's words mean, nil if none.
func classify(verb, message string) error {
	message = strings.ToLower(message)
	for _, p := range phrases() {
		if (p.verb == "" || p.verb == verb) && follow(message, p.parts) {
			return p.kind
		}
	}
	return nil
}

// follow tells whether text has all parts, one behind the other.
func follow(text string, parts []string) bool {
	for _, part := range parts {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}
