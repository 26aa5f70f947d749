package stdio

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// end is one end of a pipe, a FIFO or a terminal, non-blocking and under the runtime's poller.
//
// Whoever uses fd directly must know that the end is not closed meanwhile. The streams keep to this: an end is closed by the goroutine that uses
// it, at its own end, or by Close when there is no such goroutine.
type end struct {
	fd   int
	file *os.File
	raw  syscall.RawConn
}

// newEnd takes ownership of fd, also when it fails.
func newEnd(fd int, name string) (*end, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // its error adds nothing
		return nil, fmt.Errorf("set %s non-blocking: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetDeadline(time.Time{}) // fails unless the poller has taken it
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("watch %s: %w", name, err)
	}
	return &end{fd: fd, file: file, raw: raw}, nil
}

// interrupt makes every wait on the end return, now and in future, until a deadline is set anew.
func (e *end) interrupt() {
	_ = e.file.SetDeadline(time.Unix(1, 0)) // closed already: then nobody waits
}

func (e *end) close() {
	_ = e.file.Close() // pipes and terminals have nothing to flush
}

// newPipe makes a pipe, close-on-exec and blocking at both ends.
func newPipe() (r, w int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("create pipe: %w", err)
	}
	return p[0], p[1], nil
}

// openFD opens a path close-on-exec, without blocking and without ever becoming a terminal's session.
func openFD(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// isFIFO reports whether an open descriptor is a FIFO's or a pipe's.
func isFIFO(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, fmt.Errorf("stat: %w", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFIFO, nil
}

// buffered is the number of bytes that wait to be read.
func buffered(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD by another name
	if err != nil {
		return 0
	}
	return n
}

// events polls fd once, without waiting.
func events(fd int, want int16) int16 {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: want}}
	poll(p[:])
	return p[0].Revents
}

// poll looks once, without waiting.
func poll(fds []unix.PollFd) {
	for {
		if _, err := unix.Poll(fds, 0); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// setPipeSize returns the size that the pipe has afterwards. The kernel refuses to go past a user's limit, and to make a pipe smaller than what
// is in it: both are lived with.
func setPipeSize(fd, size int) int {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err == nil {
		return size
	}
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return pipeSmall
	}
	return n
}
