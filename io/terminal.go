package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// terminal is a process's terminal, seen from its master. It waits on the Go runtime's poller like every other stream (docs/decisions/0010).
type terminal struct {
	socket  *consoleSocket
	sink    *sink // of its output; nil for none
	moved   atomic.Uint64
	ended   chan struct{}
	exited  atomic.Bool // the process is gone: EIO is the end now
	failure atomic.Pointer[error]
	ctx     context.Context
	cancel  context.CancelFunc

	mu sync.Mutex
	// mu guards:
	master  *end // nil until received
	console console.Console
	size    *console.WinSize // asked for before there was a console
}

// openTerminal opens the FIFOs and the socket that the runtime will send the master to.
func (s *Streams) openTerminal(_ context.Context) error {
	t := &terminal{ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	var err error
	switch {
	case isLogger(s.cfg.Stdout):
		t.sink, err = s.openLoggerSink()
	case s.cfg.Stdout != "":
		t.sink, err = openSink(s.cfg.Stdout)
	}
	if err != nil {
		return err
	}
	s.term = t
	if s.cfg.Stdin != "" {
		if s.input, err = openInputFIFO(s.cfg.Stdin); err != nil {
			return err
		}
		s.input.term = t
	}
	t.socket, err = listenConsole(s.cfg.Dir)
	return err
}

// receive takes the master from the runtime, which has sent it by now, and gives it the size that was asked for.
func (t *terminal) receive(ctx context.Context) error {
	f, err := t.socket.receive(ctx)
	if err != nil {
		return err
	}
	t.socket.close()
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate console: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("prepare console: %w", err)
	}
	master, err := newEnd(fd, "console")
	if err != nil {
		return err
	}
	c, err := console.ConsoleFromFile(master.file)
	if err != nil {
		master.close()
		return fmt.Errorf("open console: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.master, t.console = master, c
	if t.size != nil {
		return c.Resize(*t.size)
	}
	return nil
}

func (t *terminal) resize(width, height uint16) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = &console.WinSize{Width: width, Height: height}
	if t.console == nil {
		return nil
	}
	if err := t.console.Resize(*t.size); err != nil {
		return fmt.Errorf("resize console: %w", err)
	}
	return nil
}

// run hands the terminal's output on until the process is gone and nothing is left in it, or until stop.
func (t *terminal) run() {
	for {
		n, err := t.master.copyOut(t.exited.Load, t.write)
		t.moved.Add(uint64(n))
		if err != nil && (errors.Is(err, io.EOF) || t.woken(err) != nil) {
			break
		}
	}
	close(t.ended)
	if t.sink != nil {
		t.sink.finish(t.ctx)
	}
}

// write hands output on. A sink that is broken for good is not tried again: the process must not block on it.
func (t *terminal) write(p []byte) error {
	if t.sink == nil || t.failure.Load() != nil {
		return nil
	}
	if _, err := t.sink.Write(p); err != nil && !t.master.stopped.Load() {
		t.failure.Store(&err)
	}
	return nil
}

// woken tells a wait that processExited ended, which goes on, from one that stop ended.
func (t *terminal) woken(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master.stopped.Load() || !t.exited.Load() {
		return err
	}
	return t.master.resume()
}

// processExited has the output looked at once more: what was a pause before is the end now.
func (t *terminal) processExited() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exited.Store(true)
	if t.master != nil {
		t.master.interrupt()
	}
}

// feed hands stdin on to the terminal. At its end the terminal is not hung up: if it is in canonical mode it gets its end-of-file character, as if a user had
// typed it (termios(3), VEOF).
func (t *terminal) feed(src *end) {
	for {
		_, err := src.copyOut(never, func(p []byte) error { _, err := t.master.file.Write(p); return err })
		if errors.Is(err, io.EOF) {
			t.endOfInput()
		}
		if err != nil {
			return
		}
	}
}

func (t *terminal) endOfInput() {
	settings, err := unix.IoctlGetTermios(t.master.fd, unix.TCGETS)
	if err != nil || settings.Lflag&unix.ICANON == 0 {
		return
	}
	_, _ = t.master.file.Write(settings.Cc[unix.VEOF : unix.VEOF+1])
}

func (t *terminal) err() error {
	if e := t.failure.Load(); e != nil {
		return fmt.Errorf("write terminal output to %s: %w", t.sink.path, *e)
	}
	return nil
}

func (t *terminal) stop(running bool) error {
	t.cancel()
	if t.socket != nil {
		t.socket.close()
	}
	t.mu.Lock()
	master := t.master
	t.mu.Unlock()
	if master != nil {
		master.stop()
	}
	if t.sink != nil {
		t.sink.stop()
		if !running {
			t.sink.close()
		}
	}
	return t.err()
}

// release closes the master, once no goroutine uses it.
func (t *terminal) release() {
	if t.master != nil {
		t.master.close()
	}
}
