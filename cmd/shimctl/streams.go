package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/containerd/fifo"
)

// streamsConfig says which streams a process gets.
type streamsConfig struct {
	dir      string // where the fifos go; it is made
	terminal bool
	input    bool
	broken   func() // called when our standard output takes nothing more, or our terminal is gone
}

// streams are a process's standard streams as its client holds them: fifos, and what copies between them and ours.
type streams struct {
	p        *program
	terminal bool
	ours     bool // standard input is a terminal; it was when we began, for one that is hung up is none
	dir      string
	broken   func()
	paths    [3]string // what the shim is told; empty: none
	stdin    io.WriteCloser
	output   []*copier
	pump     *pump
}

// openStreams makes the fifos and opens our ends. It waits for nobody: the shim's ends come with Create.
func openStreams(ctx context.Context, p *program, c streamsConfig) (*streams, error) {
	s := &streams{p: p, terminal: c.terminal, ours: isTerminal(p.stdin), dir: c.dir, broken: c.broken}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of fifos: %w", err)
	}
	ctx = context.WithoutCancel(ctx) // the fifos end with close
	if c.input {
		path := filepath.Join(c.dir, "stdin")
		stdin, err := fifo.OpenFifo(ctx, path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("open fifo: %w", err)
		}
		s.paths[0], s.stdin = path, stdin
	}
	sinks := []*sink{{file: p.stdout, broken: c.broken}, {file: p.stderr}}
	if c.terminal {
		sinks = sinks[:1]
	}
	for i, to := range sinks {
		path := filepath.Join(c.dir, [...]string{"stdout", "stderr"}[i])
		from, err := fifo.OpenFifo(ctx, path, syscall.O_RDONLY|syscall.O_CREAT|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("open fifo: %w", err)
		}
		s.paths[i+1] = path
		s.output = append(s.output, &copier{from: from, to: to, done: make(chan struct{})})
	}
	return s, nil
}

// copyOutput begins to copy what the container writes.
func (s *streams) copyOutput() {
	for _, c := range s.output {
		go c.run()
	}
}

// copyInput begins to copy our standard input to the container; ended is called when all of it has been. A terminal in raw mode ends by being
// hung up only: then nobody is left to see the container or to end it, and it is as with a broken output.
func (s *streams) copyInput(ended func()) {
	if s.stdin == nil {
		return
	}
	if s.terminal && s.ours {
		ended = s.broken
	}
	s.pump = newPump(s.p.stdin, s.stdin, s.terminal && !s.ours, ended)
	go s.pump.run()
}

// waitOutput returns when all that the container wrote has been written on, or with ctx.
func (s *streams) waitOutput(ctx context.Context) {
	for _, c := range s.output {
		select {
		case <-c.done:
		case <-ctx.Done():
			return
		}
	}
}

// verdict says what became of our standard output: 0 if nothing failed. A reader that went away is not worth a message.
func (s *streams) verdict() (int, error) {
	err := s.output[0].to.failure()
	switch {
	case err == nil:
		return 0, nil
	case errors.Is(err, syscall.EPIPE):
		return exitBrokenPipe, nil
	}
	return exitFailure, fmt.Errorf("write standard output: %w", err)
}

// close ends the copying and closes and removes the fifos. A copier that is stuck in a write to somebody who does not read is left to the
// process's end, which is near: nothing can break off a write to a file that we did not open.
func (s *streams) close() {
	if s.pump != nil {
		s.pump.stop()
	}
	if s.stdin != nil {
		_ = s.stdin.Close()
	}
	for _, c := range s.output {
		_ = c.from.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// copier copies one output stream of the container to one of our files.
type copier struct {
	from io.ReadCloser
	to   *sink
	done chan struct{}
}

// run ends at the stream's end, or when it is closed.
func (c *copier) run() {
	defer close(c.done)
	_, _ = io.Copy(c.to, c.from)
}

// sink writes to one of our files. Its first error stays, is told once, and all that follows is dropped: the stream is still read to its end,
// so that the container is not held up by it.
type sink struct {
	file   *os.File
	broken func() // may be nil

	mu  sync.Mutex // guards err
	err error
}

func (s *sink) Write(data []byte) (int, error) {
	if s.failure() != nil {
		return len(data), nil
	}
	if _, err := s.file.Write(data); err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		if s.broken != nil {
			s.broken()
		}
	}
	return len(data), nil
}

func (s *sink) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
