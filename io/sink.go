package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/fifo"
	"golang.org/x/sys/unix"
)

// sink is where an output's bytes go. Streams that were given the same path share one; the last to release it closes it.
type sink struct {
	out  io.Writer // where copies are written
	end  *end      // the FIFO's or pipe's write end, for splice; nil if it is neither
	keep int       // the FIFO's read end, held so that its readers may come and go; -1 if there is none
	file io.Closer // what else is to be closed

	refs int // guarded by Streams.mu
}

// openSink opens what a target names. A logging binary's and a null one are not for it.
func openSink(t target) (*sink, error) {
	if t.scheme == schemeFile {
		return openLog(t)
	}
	fd, err := openFD(t.path, unix.O_RDONLY|unix.O_PATH)
	if err != nil {
		return nil, err
	}
	is, err := isFIFO(fd)
	_ = unix.Close(fd) // O_PATH
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, t.path)
	}
	if is {
		return openFIFOSink(t.path)
	}
	f, err := os.OpenFile(t.path, os.O_WRONLY|os.O_APPEND|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return &sink{out: f, file: f, keep: -1}, nil
}

// openLog opens a log file, and makes it and its directory when they are missing.
func openLog(t target) (*sink, error) {
	limit, err := parseLimit(t.query)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o755); err != nil {
		return nil, err
	}
	if limit.size > 0 {
		r, err := openRotating(t.path, limit)
		if err != nil {
			return nil, err
		}
		return &sink{out: r, file: r, keep: -1}, nil
	}
	f, err := os.OpenFile(t.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &sink{out: f, file: f, keep: -1}, nil
}

// openFIFOSink opens both ends, the read end first: so neither open waits for anybody.
func openFIFOSink(path string) (*sink, error) {
	keep, err := openFD(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	fd, err := openFD(path, unix.O_WRONLY)
	if err != nil {
		_ = unix.Close(keep) // nothing to flush
		return nil, err
	}
	e, err := newEnd(fd, path)
	if err != nil {
		_ = unix.Close(keep) // nothing to flush
		return nil, err
	}
	return &sink{out: e.file, end: e, keep: keep}, nil
}

// newPipeSink takes ownership of a pipe's write end.
func newPipeSink(fd int, name string) (*sink, error) {
	e, err := newEnd(fd, name)
	if err != nil {
		return nil, err
	}
	return &sink{out: e.file, end: e, keep: -1}, nil
}

// interrupt ends every wait for the sink. A file is not waited for.
func (s *sink) interrupt() {
	if s.end != nil {
		s.end.interrupt()
	}
}

// finish closes a sink whose streams have all ended. Where nobody has the FIFO open, it waits for a late reader, until ctx ends.
func (s *sink) finish(ctx context.Context) error {
	if s.keep >= 0 {
		_ = unix.Close(s.keep) // nothing to flush
		s.keep = -1
		if ctx.Err() == nil && events(s.end.fd, 0)&unix.POLLERR != 0 {
			s.awaitReader(ctx)
		}
	}
	if s.end != nil {
		s.end.close()
	}
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}

// awaitReader returns when somebody has opened the FIFO to read, or ctx ends. The bytes live as long as our write end, and whoever opens the FIFO
// meanwhile finds a writer: so a reader gets the bytes and the end of file, and none waits for ever for a writer. The open is made through the
// descriptor, for the path may be gone.
func (s *sink) awaitReader(ctx context.Context) {
	f, err := fifo.OpenFifo(ctx, fmt.Sprintf("/proc/self/fd/%d", s.end.fd), syscall.O_WRONLY, 0)
	if err != nil {
		return // ctx has ended
	}
	_ = f.Close() // a second write end: nothing to flush
}

// full reports whether a write failed in a way that may pass.
func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
