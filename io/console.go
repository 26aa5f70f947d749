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

	"golang.org/x/sys/unix"
)

// socketPathMax is the longest path of a unix socket (unix(7), sun_path without its end).
const socketPathMax = 107

// consoleSocket is where a runtime sends the master of the terminal that it has made, with SCM_RIGHTS. It stands in a directory that only we can enter.
type consoleSocket struct {
	dir, path string
	listener  *net.UnixListener
	once      sync.Once
}

// listenConsole makes the socket in a new directory in dir, or in the system's temporary directory where the path would be too long.
func listenConsole(dir string) (*consoleSocket, error) {
	private, err := os.MkdirTemp(dir, "pty")
	if err != nil {
		return nil, fmt.Errorf("make directory of console socket: %w", err)
	}
	path := filepath.Join(private, "s")
	if len(path) > socketPathMax {
		_ = os.Remove(private)
		if private, err = os.MkdirTemp("", "pty"); err != nil {
			return nil, fmt.Errorf("make directory of console socket: %w", err)
		}
		path = filepath.Join(private, "s")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		_ = os.Remove(private)
		return nil, fmt.Errorf("listen for console: %w", err)
	}
	return &consoleSocket{dir: private, path: path, listener: l}, nil
}

// receive returns the terminal's master. The runtime has connected and sent it before it exited, so this does not wait unless something is wrong.
func (c *consoleSocket) receive(ctx context.Context) (*os.File, error) {
	deadline := time.Now().Add(consoleMax)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.listener.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("wait for console: %w", err)
	}
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("wait for console: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("wait for console: %w", err)
	}
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		return nil, fmt.Errorf("receive console: %w", err)
	}
	return fileOf(oob[:n])
}

// fileOf takes the one descriptor out of a control message.
func fileOf(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive console: %w", err)
	}
	if len(messages) != 1 {
		return nil, errors.New("receive console: the runtime sent no descriptor")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, fmt.Errorf("receive console: %w", err)
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("receive console: the runtime sent %d descriptors", len(fds))
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}

func (c *consoleSocket) close() {
	c.once.Do(func() {
		_ = c.listener.Close() // removes the socket
		_ = os.RemoveAll(c.dir)
	})
}
