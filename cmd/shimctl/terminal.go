package main

import (
	"fmt"
	"os"

	"github.com/containerd/console"
	"github.com/wisp-shim/wisp/internal/launch"
	"golang.org/x/sys/unix"
)

// terminal is ours, if we have one: it is set raw for the container's, and always given back as it was.
type terminal struct {
	p       *program
	console console.Console // nil: standard input is no terminal
}

func newTerminal(p *program) *terminal {
	t := &terminal{p: p}
	if c, err := console.ConsoleFromFile(p.stdin); err == nil {
		t.console = c
	}
	return t
}

// setRaw passes every key on to the container's terminal, which does the echoing and the interrupting.
func (t *terminal) setRaw() error {
	if t.console == nil {
		return nil
	}
	if err := t.console.SetRaw(); err != nil {
		return fmt.Errorf("set terminal raw: %w", err)
	}
	t.p.raw.Store(true)
	return nil
}

// restore undoes setRaw. It may be called in any state.
func (t *terminal) restore() {
	if t.p.raw.Swap(false) {
		_ = t.console.Reset()
	}
}

// size is the size of our terminal, by whichever of our files is one; nil without.
func (t *terminal) size() *launch.SpecSize {
	for _, file := range []*os.File{t.p.stdin, t.p.stdout, t.p.stderr} {
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err == nil && size.Row > 0 && size.Col > 0 {
			return &launch.SpecSize{Height: uint(size.Row), Width: uint(size.Col)}
		}
	}
	return nil
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
