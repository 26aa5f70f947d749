package stdio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	tty "github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// sunPathMax is the longest path of a unix socket, with the zero byte that ends it.
const sunPathMax = 108

// consoleSocket is where the runtime connects to hand over the terminal. Its directory is private, which is the authentication.
type consoleSocket struct {
	dir  string
	path string
	l    *net.UnixListener
}

func listenConsole(dir string) (*consoleSocket, error) {
	s, err := listenConsoleIn(dir)
	if errors.Is(err, unix.ENAMETOOLONG) {
		s, err = listenConsoleIn("")
	}
	if err != nil {
		return nil, fmt.Errorf("listen for console: %w", err)
	}
	return s, nil
}

// listenConsoleIn makes a directory of mode 0700 in dir, or in the system's directory for temporary files.
func listenConsoleIn(dir string) (*consoleSocket, error) {
	own, err := os.MkdirTemp(dir, "pty")
	if err != nil {
		return nil, err
	}
	s := &consoleSocket{dir: own, path: filepath.Join(own, "s")}
	if len(s.path) >= sunPathMax {
		s.close()
		return nil, fmt.Errorf("%s: %w", s.path, unix.ENAMETOOLONG)
	}
	if s.l, err = net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"}); err != nil {
		s.close()
		return nil, err
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *consoleSocket) close() {
	if s.l != nil {
		s.l.Close() // unlinks the socket too
	}
	_ = os.RemoveAll(s.dir) // in the bundle it goes with that at the latest
}

// receive waits for the terminal until ctx ends or consoleMax is over. The caller closes the end.
func (s *consoleSocket) receive(ctx context.Context) (*end, error) {
	ctx, cancel := context.WithTimeout(ctx, consoleMax)
	defer cancel()
	fd, err := s.receiveFD(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("receive console: %w", err)
	}
	return newEnd(fd, "console")
}

func (s *consoleSocket) receiveFD(ctx context.Context) (int, error) {
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = s.l.SetDeadline(past) }) // closed: then nobody waits
	defer stop()
	conn, err := s.l.AcceptUnix()
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	stopConn := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }) // as above
	defer stopConn()
	name := make([]byte, 4096) // the terminal's path: of no use outside the container
	oob := make([]byte, unix.CmsgSpace(4*4))
	_, n, _, _, err := conn.ReadMsgUnix(name, oob) // close-on-exec is Go's doing
	if err != nil {
		return -1, err
	}
	fds, err := rights(oob[:n])
	if err == nil && len(fds) == 1 {
		return fds[0], nil
	}
	for _, fd := range fds {
		_ = unix.Close(fd) // not asked for
	}
	if err == nil {
		err = fmt.Errorf("the runtime sent %d descriptors, not 1", len(fds))
	}
	return -1, err
}

func rights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// console is the master side of a terminal.
type console struct {
	end *end // owned by the output stream

	// mu guards closed, and that no setting is made on a descriptor that is closed.
	mu     sync.Mutex
	tty    tty.Console
	closed bool
}

// newConsole borrows the end.
func newConsole(e *end) (*console, error) {
	t, err := tty.ConsoleFromFile(e.file)
	if err != nil {
		return nil, fmt.Errorf("use console: %w", err)
	}
	return &console{end: e, tty: t}, nil
}

// resize sets the terminal's size in character cells.
func (c *console) resize(width, height uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil // the process is gone
	}
	if err := c.tty.Resize(tty.WinSize{Width: width, Height: height}); err != nil {
		return fmt.Errorf("resize console: %w", err)
	}
	return nil
}

// eof is the character that ends the input, if the terminal gathers lines.
func (c *console) eof() (byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, false
	}
	t, err := unix.IoctlGetTermios(c.end.fd, unix.TCGETS)
	if err != nil || t.Lflag&unix.ICANON == 0 {
		return 0, false
	}
	return t.Cc[unix.VEOF], true
}

// retire is called before the end is closed.
func (c *console) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
