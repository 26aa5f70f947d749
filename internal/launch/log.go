package launch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/wisp-shim/wisp/bundle"
	"golang.org/x/sys/unix"
)

// Log is the manager's end of a shim's log fifo.
type Log struct {
	fifo *os.File
	sink io.Writer
	done chan struct{}
}

// OpenLog makes the fifo log in the bundle (0700, as containerd does) and copies to sink what the shim writes there, until Close. Both ends
// are held, so that the shim may open it late, twice or never. An error of sink ends the showing, not the reading: the shim never blocks on it.
func OpenLog(dir string, sink io.Writer) (*Log, error) {
	path := filepath.Join(dir, bundle.LogFile)
	if err := unix.Mkfifo(path, 0o700); err != nil {
		return nil, fmt.Errorf("make log fifo: %w", err)
	}
	fifo, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open log fifo: %w", err)
	}
	l := &Log{fifo: fifo, sink: sink, done: make(chan struct{})}
	go l.copy()
	return l, nil
}

// copy runs until Close closes the fifo.
func (l *Log) copy() {
	defer close(l.done)
	buffer := make([]byte, 4096)
	for {
		n, err := l.fifo.Read(buffer)
		_, _ = l.sink.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// Close hands on what the fifo still holds, closes it and returns when nothing more goes to the sink.
func (l *Log) Close() error {
	rest := l.rest()
	err := l.fifo.Close()
	<-l.done
	_, _ = l.sink.Write(rest)
	if err != nil {
		return fmt.Errorf("close log fifo: %w", err)
	}
	return nil
}

// rest reads what is in the fifo at this moment.
func (l *Log) rest() []byte {
	conn, err := l.fifo.SyscallConn()
	if err != nil {
		return nil
	}
	var rest []byte
	_ = conn.Control(func(fd uintptr) {
		buffer := make([]byte, 4096)
		for {
			n, err := unix.Read(int(fd), buffer)
			if err != nil || n <= 0 {
				return
			}
			rest = append(rest, buffer[:n]...)
		}
	})
	return rest
}
