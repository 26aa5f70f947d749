package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Streams are the standard streams of one process. It owns every descriptor and goroutine that it makes; Close ends them all.
// All methods may be called at any time and by several goroutines.
type Streams struct {
	cfg      Config
	in       *input
	outs     []*output // made by Open; a terminal's has its source from Attach on
	sinks    map[string]*sink
	logger   *logger
	socket   *consoleSocket
	files    [3]*os.File // the process's ends; nil with a terminal, and after Attach
	ctx      context.Context
	cancel   context.CancelFunc
	closing  atomic.Bool // set before Close interrupts
	exited   atomic.Bool // set before exit is closed
	exit     chan struct{}
	exitOnce sync.Once
	work     sync.WaitGroup // the streams' goroutines
	end      sync.Once
	endErr   error

	// mu guards the fields below, the sinks' counts, and files.
	mu       sync.Mutex
	console  *console
	size     *size // asked for before there was a console
	attached bool
	closed   bool
}

type size struct{ width, height uint16 }

// Files are the process's ends of its streams, for the runtime to hand on as descriptors 0, 1 and 2: borrowed until Attach or Close. With a terminal
// they are nil.
func (s *Streams) Files() [3]*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files
}

// ConsoleSocket is the path of the socket to which the runtime sends the terminal; empty without one.
func (s *Streams) ConsoleSocket() string {
	if s.socket == nil {
		return ""
	}
	return s.socket.path
}

// Attach starts the streams. It is called once, when the runtime has made the process: it closes the process's ends here, and receives
// its terminal. After a failed Attach there is only Close.
func (s *Streams) Attach(ctx context.Context) error {
	var master *end
	if s.socket != nil {
		both, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(s.ctx, cancel)
		var err error
		master, err = s.socket.receive(both)
		stop()
		cancel()
		if err != nil && s.ctx.Err() != nil {
			err = ErrClosed
		}
		if err != nil {
			return err
		}
		s.socket.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.attachLocked(master); err != nil {
		if master != nil && s.console == nil {
			master.close()
		}
		return err
	}
	return nil
}

func (s *Streams) attachLocked(master *end) error {
	switch {
	case s.closed:
		return ErrClosed
	case s.attached:
		return errors.New("streams are attached already")
	}
	s.closeFilesLocked()
	if master != nil {
		c, err := newConsole(master)
		if err != nil {
			return err
		}
		s.console = c
		s.outs[0].tty, s.outs[0].src = c, newSource(master, "console")
		if s.in != nil {
			s.in.console, s.in.dst = c, master
		}
		if s.size != nil {
			if err := c.resize(s.size.width, s.size.height); err != nil {
				return err
			}
		}
	}
	s.attached = true
	for _, o := range s.outs {
		o.begin()
		s.work.Go(func() { o.run(s.ctx) })
	}
	if s.in != nil {
		s.work.Go(s.in.run)
	}
	return nil
}

func (s *Streams) closeFilesLocked() {
	for i, f := range s.files {
		if f != nil {
			f.Close() // twice where streams share /dev/null, which does no harm
		}
		s.files[i] = nil
	}
}

// CloseStdin ends the process's input when all that clients have written, and may still write, has been moved. It sticks at any time after
// Open, and may be repeated. A terminal is not hung up: the process is sent the end-of-file character if it reads lines.
func (s *Streams) CloseStdin() error {
	if s.in != nil {
		s.in.closeKeep()
	}
	return nil
}

// Resize sets the terminal's size in character cells; without a terminal it does nothing. Before Attach the size is remembered.
func (s *Streams) Resize(width, height uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socket == nil || s.closed {
		return nil
	}
	if s.console == nil {
		s.size = &size{width, height}
		return nil
	}
	return s.console.resize(width, height)
}

// ProcessExited says that the process is gone: its terminal ends when it is drained, and Drain waits no longer for those who hold its
// pipes than they have something to say.
func (s *Streams) ProcessExited() {
	s.exitOnce.Do(s.markExited)
}

func (s *Streams) markExited() {
	s.exited.Store(true)
	close(s.exit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.console != nil && !s.closing.Load() {
		_ = s.console.end.file.SetReadDeadline(time.Unix(1, 0)) // closed: nobody waits
	}
}

// release is called by a stream that has ended; the last closes the sink.
func (s *Streams) release(k *sink, ctx context.Context) error {
	s.mu.Lock()
	k.refs--
	last := k.refs == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	return k.finish(ctx)
}

// Close ends every stream and goroutine at once, and waits for them; a logging binary gets time to write what it has. It returns the first
// error of each sink. It may be called in any state and again.
func (s *Streams) Close() error {
	s.end.Do(s.close)
	return s.endErr
}

func (s *Streams) close() {
	s.mu.Lock()
	s.closed = true
	attached := s.attached
	s.closeFilesLocked()
	s.closing.Store(true)
	for _, o := range s.outs {
		if attached {
			o.src.interrupt()
		}
		if o.dst != nil {
			o.dst.interrupt()
		}
	}
	if s.in != nil {
		s.in.interrupt()
	}
	s.mu.Unlock()
	s.cancel()
	if !attached {
		s.abandon()
	}
	s.work.Wait()
	if s.socket != nil {
		s.socket.close()
	}
	s.endErr = s.failures()
}

// abandon closes what goroutines would have closed, had they been started.
func (s *Streams) abandon() {
	for _, o := range s.outs {
		if o.src != nil {
			o.src.close()
		}
		if o.dst != nil {
			o.closeErr = s.release(o.dst, s.ctx)
		}
	}
	if s.in != nil {
		s.in.close()
	}
}

func (s *Streams) failures() error {
	var errs []error
	for _, o := range s.outs {
		if o.err != nil {
			errs = append(errs, fmt.Errorf("%w (%d bytes dropped)", o.err, o.dropped.Load()))
		}
		errs = append(errs, o.closeErr)
	}
	if s.logger != nil {
		errs = append(errs, s.logger.end(loggerEndMax))
	}
	return errors.Join(errs...)
}

// chown gives a pipe to the process's owner.
func (s *Streams) chown(fd int) error {
	if err := unix.Fchown(fd, s.cfg.UID, s.cfg.GID); err != nil {
		return fmt.Errorf("change owner of pipe to %d:%d: %w", s.cfg.UID, s.cfg.GID, err)
	}
	return nil
}
