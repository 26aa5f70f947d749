package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open makes the streams of one process: all that can fail before the runtime runs. It never waits for a FIFO's other side, but for a
// logging binary to get ready. Bad input wraps ErrInvalid, and a path that is not there fs.ErrNotExist. The caller calls Close in the end, whatever
// happens in between; a failed Open leaves nothing.
func Open(ctx context.Context, cfg Config) (*Streams, error) {
	t, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	s := &Streams{cfg: cfg, sinks: map[string]*sink{}, exit: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(ctx, t); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.sinks = nil // only Open looks streams up by path
	return s, nil
}

func (s *Streams) open(ctx context.Context, t targets) error {
	if err := s.openStdin(t.in); err != nil {
		return fmt.Errorf("open stdin: %w", err)
	}
	var pipes *loggerPipes
	if t.out.logger() || t.err.logger() {
		var err error
		if pipes, err = newLoggerPipes(); err != nil {
			return err
		}
		defer pipes.close() // what nobody has taken by then: a logger without a stderr reads its end at once
	}
	open := s.openOutput
	if s.cfg.Terminal {
		open = s.openTerminal
	}
	if err := open(1, "stdout", s.cfg.Stdout, t.out, pipes); err != nil {
		return fmt.Errorf("open stdout: %w", err)
	}
	if s.cfg.Terminal {
		var err error
		if s.socket, err = listenConsole(s.cfg.Dir); err != nil {
			return err
		}
	} else if err := open(2, "stderr", s.cfg.Stderr, t.err, pipes); err != nil {
		return fmt.Errorf("open stderr: %w", err)
	}
	if err := s.openNull(); err != nil {
		return err
	}
	if pipes == nil {
		return nil
	}
	if !t.out.logger() {
		t.out = t.err
	}
	var err error
	s.logger, err = startLogger(ctx, s.cfg, t.out, pipes)
	return err
}

// openStdin makes the input and, without a terminal, its pipe.
func (s *Streams) openStdin(t target) error {
	if t.scheme == schemeNull {
		return nil
	}
	in, err := openInput(t.path, &s.closing)
	if err != nil {
		return err
	}
	s.in = in
	if s.cfg.Terminal {
		return nil
	}
	r, w, err := newPipe()
	if err != nil {
		return err
	}
	s.files[0] = os.NewFile(uintptr(r), "stdin")
	if in.dst, err = newEnd(w, "stdin"); err != nil {
		return err
	}
	return s.chown(r)
}

// openOutput makes one of the process's output pipes and the sink behind it.
func (s *Streams) openOutput(fd int, name, uri string, t target, pipes *loggerPipes) error {
	if t.scheme == schemeNull {
		return nil
	}
	if t.logger() {
		w := &pipes.out[1]
		if fd == 2 {
			w = &pipes.err[1]
		}
		if err := s.chown(*w); err != nil {
			return err
		}
		s.files[fd] = os.NewFile(uintptr(take(w)), name)
		return nil
	}
	o, err := s.newOutput(name, uri, t)
	if err != nil {
		return err
	}
	r, w, err := newPipe()
	if err != nil {
		return err
	}
	s.files[fd] = os.NewFile(uintptr(w), name)
	e, err := newEnd(r, name)
	if err != nil {
		return err
	}
	o.src = newSource(e, name)
	return s.chown(w)
}

// openTerminal makes the output of a terminal that has yet to come.
func (s *Streams) openTerminal(_ int, name, uri string, t target, pipes *loggerPipes) error {
	if !t.logger() {
		_, err := s.newOutput(name, uri, t)
		return err
	}
	k, err := newPipeSink(take(&pipes.out[1]), name)
	if err != nil {
		return err
	}
	k.refs++
	s.outs = append(s.outs, &output{name: name, dst: k, closing: &s.closing, exited: &s.exited, release: s.release})
	return nil
}

// newOutput makes an output with its sink: one that is open already if the path is the same.
func (s *Streams) newOutput(name, uri string, t target) (*output, error) {
	k := s.sinks[uri]
	if k == nil && t.scheme != schemeNull {
		var err error
		if k, err = openSink(t); err != nil {
			return nil, err
		}
		s.sinks[uri] = k
	}
	o := &output{name: name, dst: k, closing: &s.closing, exited: &s.exited, release: s.release}
	if k != nil {
		k.refs++
	}
	s.outs = append(s.outs, o)
	return o, nil
}

// openNull gives the process /dev/null, to read and write, where nothing else was asked for.
func (s *Streams) openNull() error {
	var null *os.File
	for i, f := range s.files {
		if f != nil || s.cfg.Terminal {
			continue
		}
		if null == nil {
			fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return &os.PathError{Op: "open", Path: os.DevNull, Err: err}
			}
			null = os.NewFile(uintptr(fd), os.DevNull)
		}
		s.files[i] = null
	}
	return nil
}
