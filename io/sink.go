package stdio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/fifo"
	"golang.org/x/sys/unix"
)

// fileScheme is the URI scheme of a file to append to.
const fileScheme = "file://"

// sink is where an output goes: a FIFO, whose both ends are held so that a reader may leave and come back, or a file.
type sink struct {
	path  string
	write *end     // a FIFO's end to write to, or a logger's pipe
	read  int      // a FIFO's end to read from, held so that the other never meets EPIPE; -1 for none
	file  *os.File // a file, in place of write
}

// openSink opens what an output's path or URI names.
func openSink(target string) (*sink, error) {
	if path, ok := strings.CutPrefix(target, fileScheme); ok {
		return openFileSink(path)
	}
	if i := strings.Index(target, "://"); i >= 0 {
		return nil, fmt.Errorf("unknown STDIO scheme %q: %w", target[:i], ErrInvalid)
	}
	info, err := os.Stat(target)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 {
		f, err := os.OpenFile(target, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, fmt.Errorf("open output: %w", err)
		}
		return &sink{path: target, read: -1, file: f}, nil
	}
	read, write, err := openBoth(target)
	if err != nil {
		return nil, err
	}
	e, err := newEnd(write, target)
	if err != nil {
		_ = unix.Close(read)
		return nil, err
	}
	return &sink{path: target, read: read, write: e}, nil
}

// openBoth opens a FIFO's two ends without waiting for anybody: the reading one first, which makes the writing one succeed (fifo(7)).
func openBoth(path string) (read, write int, err error) {
	const flags = unix.O_NONBLOCK | unix.O_CLOEXEC
	if read, err = unix.Open(path, unix.O_RDONLY|flags, 0); err != nil {
		return -1, -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if write, err = unix.Open(path, unix.O_WRONLY|flags, 0); err != nil {
		_ = unix.Close(read)
		return -1, -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return read, write, nil
}

func openFileSink(path string) (*sink, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("log file %q is not an absolute path: %w", path, ErrInvalid)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of log file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return &sink{path: path, read: -1, file: f}, nil
}

// Write hands p on whole, waiting for a reader that is slow.
func (k *sink) Write(p []byte) (int, error) {
	if k.file != nil {
		return k.file.Write(p)
	}
	return k.write.file.Write(p)
}

// stop ends a wait for the reader.
func (k *sink) stop() {
	if k.write != nil {
		k.write.stop()
	}
}

// finish is called when all has been written: it closes the sink, so that a reader sees the end. If a FIFO has no reader at this moment, what is in it would be lost
// with the last end: then the end is held for a reader that comes late, until ctx ends.
func (k *sink) finish(ctx context.Context) {
	defer k.close()
	if k.read < 0 {
		return
	}
	_ = unix.Close(k.read)
	k.read = -1
	if hasReader(k.write.fd) {
		return
	}
	f, err := fifo.OpenFifo(ctx, k.path, unix.O_WRONLY, 0)
	if err == nil {
		_ = f.Close()
	}
}

// hasReader tells whether anybody has the FIFO, whose writing end fd is, open for reading (poll(2): POLLERR when the read end is closed).
func hasReader(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		_, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && fds[0].Revents&unix.POLLERR == 0
		}
	}
}

func (k *sink) close() {
	if k.read >= 0 {
		_ = unix.Close(k.read)
		k.read = -1
	}
	if k.write != nil {
		k.write.close()
	}
	if k.file != nil {
		_ = k.file.Close() // each write has said what went wrong
	}
}
