package stdio

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// end is a descriptor that we read or write without blocking. It waits on the Go runtime's poller, so that no thread is spent on it; for as long as a stream
// consists of many small writes it is taken off the poller, which would be woken by each of them.
type end struct {
	name    string
	stopped atomic.Bool

	mu sync.Mutex
	// mu guards, against stop:
	fd   int      // owned
	file *os.File // owns fd; nil while off the poller
	conn syscall.RawConn
}

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

// newEnd takes ownership of fd, which is non-blocking, and puts it on the poller.
func newEnd(fd int, name string) (*end, error) {
	e := &end{name: name, fd: fd}
	if err := e.attach(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// attach puts the descriptor on the poller.
func (e *end) attach() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file != nil {
		return nil
	}
	e.file = os.NewFile(uintptr(e.fd), e.name)
	conn, err := e.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch %s: %w", e.name, err)
	}
	e.conn = conn
	if e.stopped.Load() {
		_ = e.file.SetDeadline(past)
	}
	return nil
}

// detach takes the descriptor off the poller. It stays open under another number.
func (e *end) detach() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file == nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(e.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate %s: %w", e.name, err)
	}
	_ = e.file.Close() // fd keeps the pipe open
	e.fd, e.file, e.conn = fd, nil, nil
	return nil
}

// readable calls f, and again each time the descriptor may have become readable, until f returns true. It fails when the end is stopped.
func (e *end) readable(f func() bool) error {
	if err := e.attach(); err != nil {
		return err
	}
	return e.conn.Read(func(uintptr) bool { return f() })
}

// writable is readable's counterpart.
func (e *end) writable(f func() bool) error {
	if err := e.attach(); err != nil {
		return err
	}
	return e.conn.Write(func(uintptr) bool { return f() })
}

// stop ends whatever waits for the descriptor, now and later.
func (e *end) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped.Store(true)
	if e.file != nil {
		_ = e.file.SetDeadline(past)
	}
}

// close gives the descriptor back. Only the goroutine that uses the end, or nobody, may be using it.
func (e *end) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.file != nil:
		_ = e.file.Close()
	case e.fd >= 0:
		_ = unix.Close(e.fd)
	}
	e.file, e.fd = nil, -1
}

// buffered is how many bytes wait in a pipe to be read.
func (e *end) buffered() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd < 0 {
		return 0
	}
	n, err := unix.IoctlGetInt(e.fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// canTake tells whether a pipe has room.
func (e *end) canTake() bool {
	fds := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLOUT|unix.POLLERR) != 0
}

// grow enlarges a pipe for a heavy stream. A refusal, past pipe-user-pages-soft, is lived with (fcntl(2), F_SETPIPE_SZ).
func (e *end) grow() {
	for _, size := range []int{heavyPipe, heavyPipe / 4} {
		if _, err := unix.FcntlInt(uintptr(e.fd), unix.F_SETPIPE_SZ, size); err == nil {
			return
		}
	}
}

// interrupt ends a wait for the descriptor once; resume lets it wait again.
func (e *end) interrupt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file != nil {
		_ = e.file.SetReadDeadline(past)
	}
}

func (e *end) resume() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped.Load() || e.file == nil {
		return os.ErrClosed
	}
	return e.file.SetReadDeadline(time.Time{})
}
