package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Durations of this package.
const (
	consoleMax = 30 * time.Second // the runtime has sent the console by then, or never will
	readyMax   = 10 * time.Second // a logging binary has opened its log by then
	loggerEnd  = 5 * time.Second  // what a logging binary gets to write its tail, and again after SIGTERM
	drainQuiet = time.Second      // how long a pipe must be held open by others, with nothing in it, before Drain stops waiting for its end
	drainMax   = 5 * time.Second  // how long a sink that takes nothing is waited for: well below the 10 s after which clients give up
	drainLook  = 100 * time.Millisecond
	napTime    = 200 * time.Microsecond // between two looks at a stream of many small writes
)

// ErrInvalid marks a request that makes no sense: an unknown scheme, a terminal with a stderr.
var ErrInvalid = errors.New("invalid stdio")

// SpawnConfig is a logging binary to be started.
type SpawnConfig struct {
	Path      string
	Args, Env []string   // Args with argv[0]
	Files     []*os.File // descriptors 0 to n; nil is /dev/null; borrowed
}

// Child is a process that was started. *reaper.Process is one.
type Child interface {
	Pid() int
	Done() <-chan struct{}
	Signal(syscall.Signal) error
}

// Config says where a process's streams go.
type Config struct {
	ID, Namespace         string // what a logging binary is told
	Stdin, Stdout, Stderr string // paths or URIs; empty for none
	Terminal              bool
	UID, GID              int    // owner of the pipes' ends that the process gets
	Dir                   string // a directory for the console's socket
	Spawn                 func(SpawnConfig) (Child, error)
}

// Streams are the standard streams of one process. Open makes them; Attach sets them going once the process is there; Close ends them, in any state.
type Streams struct {
	cfg     Config
	files   [3]*os.File // the process's ends; owned until Attach
	null    *os.File
	input   *input
	outputs []*output
	term    *terminal
	logger  *logger
	work    sync.WaitGroup // one for every goroutine

	mu sync.Mutex
	// mu guards:
	closed   bool
	attached bool
}

// Open opens all that can fail before the runtime runs. It waits for nobody at the other end of a FIFO. A missing path is an error that wraps
// fs.ErrNotExist. On failure nothing is left open.
func Open(ctx context.Context, cfg Config) (*Streams, error) {
	s := &Streams{cfg: cfg}
	var err error
	switch {
	case cfg.Terminal && cfg.Stderr != "":
		err = fmt.Errorf("a terminal has no stderr of its own, and %q was given: %w", cfg.Stderr, ErrInvalid)
	case cfg.Terminal:
		err = s.openTerminal(ctx)
	default:
		err = s.openPipes(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openPipes makes a pipe, or /dev/null, for each of the three streams.
func (s *Streams) openPipes(ctx context.Context) error {
	if err := s.openInput(); err != nil {
		return err
	}
	if isLogger(s.cfg.Stdout) {
		return s.openLoggerPipes(ctx)
	}
	for i, path := range []string{s.cfg.Stdout, s.cfg.Stderr} {
		if err := s.openOutput(i+1, path); err != nil {
			return err
		}
	}
	return nil
}

// devNull is /dev/null, open for both: a process may be given it for reading or for writing.
func (s *Streams) devNull() (*os.File, error) {
	if s.null == nil {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open null device: %w", err)
		}
		s.null = f
	}
	return s.null, nil
}

// pipe makes a pipe whose end named theirs is for the process: blocking, and its owner's. Ours is non-blocking.
func (s *Streams) pipe(theirs int) (their *os.File, our int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("make pipe: %w", err)
	}
	their, our = os.NewFile(uintptr(fds[theirs]), "pipe"), fds[1-theirs]
	err = unix.Fchown(fds[theirs], s.cfg.UID, s.cfg.GID)
	if err == nil {
		err = unix.SetNonblock(our, true)
	}
	if err != nil {
		_ = their.Close()
		_ = unix.Close(our)
		return nil, -1, fmt.Errorf("prepare pipe for %d:%d: %w", s.cfg.UID, s.cfg.GID, err)
	}
	return their, our, nil
}

// Files are the process's standard streams, borrowed by the runtime; all nil with a terminal.
func (s *Streams) Files() [3]*os.File { return s.files }

// ConsoleSocket is where the runtime sends the terminal's master; empty without a terminal.
func (s *Streams) ConsoleSocket() string {
	if s.term == nil {
		return ""
	}
	return s.term.socket.path
}

// Attach is called when the runtime has made the process: our copies of the process's ends are closed, the console is received, and bytes move.
func (s *Streams) Attach(ctx context.Context) error {
	s.closeFiles()
	if s.term != nil {
		if err := s.term.receive(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("attach streams: %w", os.ErrClosed)
	}
	s.attached = true
	for _, o := range s.outputs {
		s.work.Go(o.run)
	}
	if s.term != nil {
		s.work.Go(s.term.run)
	}
	if s.input != nil {
		s.work.Go(s.input.run)
	}
	return nil
}

func (s *Streams) closeFiles() {
	for i, f := range s.files {
		if f != nil && f != s.null {
			_ = f.Close() // the process has its own
		}
		s.files[i] = nil
	}
	if s.null != nil {
		_ = s.null.Close()
		s.null = nil
	}
}

// CloseStdin ends the process's standard input once what the manager wrote is handed on and no other writer is left. It sticks, at any time after Open.
func (s *Streams) CloseStdin() error {
	if s.input != nil {
		s.input.close()
	}
	return nil
}

// Resize sets the terminal's size; before the console is there it is remembered.
func (s *Streams) Resize(width, height uint16) error {
	if s.term == nil {
		return nil
	}
	return s.term.resize(width, height)
}

// ProcessExited tells that the process is gone: a terminal with nobody left on it ends once it is drained.
func (s *Streams) ProcessExited() {
	if s.term != nil {
		s.term.processExited()
	}
}

// Close ends every stream at once and returns when nothing of it is left. Bytes that nobody took by then are lost: see Drain.
func (s *Streams) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	attached := s.attached
	s.mu.Unlock()
	s.closeFiles()
	var err error
	for _, o := range s.outputs {
		err = errors.Join(err, o.stop(attached))
	}
	if s.input != nil {
		s.input.stop(attached)
	}
	if s.term != nil {
		err = errors.Join(err, s.term.stop(attached))
	}
	s.work.Wait()
	if s.term != nil {
		s.term.release()
	}
	if s.logger != nil {
		s.logger.end()
	}
	return err
}
