package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// Rules of terminal output:
//   - what the container writes passes through byte for byte: its standard output to ours, its standard error to ours;
//   - what a verb was asked for goes to standard output;
//   - what we have to say ourselves goes to standard error, one line each, lower case, after the prefix "shimctl: ", and only if something is wrong;
//   - lines that were asked for with --events or --debug go to standard error as they are;
//   - nothing is coloured, nothing asks back, and a terminal in raw mode is given back as it was before anything is said.
//
// Exit codes are an API: the container's own status, or
//
//	0      the verb has done its work
//	125    the command line is wrong, or we, the shim or the runtime failed
//	126    the container's command cannot be executed
//	127    the container's command does not exist
//	128+N  signal N came before the container had started, or (141) nobody reads our standard output
const (
	exitOK            = 0
	exitFailure       = 125
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128
	exitBrokenPipe    = 141
)

// program is the process around a verb: its three files, and whether a terminal is in raw mode at the moment.
type program struct {
	stdin, stdout, stderr *os.File
	raw                   atomic.Bool
}

// exitError is an error that asks for an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// main runs the verb that args begin with and returns the exit code.
func (p *program) main(args []string) int {
	if len(args) == 0 {
		p.usage(p.stderr)
		return exitFailure
	}
	for _, v := range verbs() {
		if v.name == args[0] || v.alias != "" && v.alias == args[0] {
			code, err := v.run(p, args[1:])
			return p.finish(code, err)
		}
	}
	return p.finish(0, fmt.Errorf("unknown verb %q: see shimctl help", args[0]))
}

// finish says what went wrong, if something did, and chooses the exit code.
func (p *program) finish(code int, err error) int {
	if err == nil {
		return code
	}
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	p.say("%v", err)
	if exit := (*exitError)(nil); errors.As(err, &exit) {
		return exit.code
	}
	return exitFailure
}

// say puts a message of our own on standard error, as one line.
func (p *program) say(format string, a ...any) {
	text := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, a...)), "\n", "; ")
	p.line("shimctl: " + text)
}

// line puts a line on standard error; a terminal in raw mode wants its carriage return.
func (p *program) line(text string) {
	end := "\n"
	if p.raw.Load() {
		end = "\r\n"
	}
	_, _ = p.stderr.WriteString(text + end)
}
