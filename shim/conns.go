package shim

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// connections is who may talk to the shim and who does. It is the ttrpc server's handshaker: only a peer with our own user and group is let in
// (field report F34).
type connections struct {
	tasks *tasks
	leave func()

	mu sync.Mutex
	// mu guards:
	open   int
	gone   chan struct{} // closed and set to nil when open falls to 0; nil when nobody waits
	lonely *time.Timer   // runs while open is 0
}

func newConnections(t *tasks, leave func()) *connections {
	return &connections{tasks: t, leave: leave}
}

// start begins to count the time without a connection.
func (c *connections) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == 0 {
		c.lonely = time.AfterFunc(lonelyMax, c.leaveLonely)
	}
}

func (c *connections) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lonely != nil {
		c.lonely.Stop()
	}
}

// leaveLonely ends a shim that has nothing to do and nobody to ask it (field report F24).
func (c *connections) leaveLonely() {
	c.mu.Lock()
	open := c.open
	c.mu.Unlock()
	if open == 0 && c.tasks.none() {
		c.leave()
	}
}

// Handshake is ttrpc's: it checks who the peer is (unix(7), SO_PEERCRED).
func (c *connections) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	cred, err := peer(conn)
	if err != nil {
		return nil, nil, err
	}
	if int(cred.Uid) != unix.Geteuid() || int(cred.Gid) != unix.Getegid() {
		return nil, nil, fmt.Errorf("refuse process %d: its user is %d:%d, not %d:%d", cred.Pid, cred.Uid, cred.Gid, unix.Geteuid(), unix.Getegid())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	if c.lonely != nil {
		c.lonely.Stop()
	}
	return &connection{Conn: conn, owner: c}, nil, nil
}

func peer(conn net.Conn) (*unix.Ucred, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("refuse a connection that is not a unix socket: %T", conn)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read peer's credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, fmt.Errorf("read peer's credentials: %w", err)
	}
	if credErr != nil {
		return nil, fmt.Errorf("read peer's credentials: %w", credErr)
	}
	return cred, nil
}

// drain waits until every connection is closed, which the ttrpc server does once it has written what it owes, or for limit.
func (c *connections) drain(limit time.Duration) {
	c.mu.Lock()
	if c.open == 0 {
		c.mu.Unlock()
		return
	}
	gone := make(chan struct{})
	c.gone = gone
	c.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	}
}

func (c *connections) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.open > 0 {
		return
	}
	if c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
	if c.lonely != nil {
		c.lonely.Reset(lonelyMax)
	}
}

// connection tells its owner when it is closed, once.
type connection struct {
	net.Conn
	owner *connections
	once  sync.Once
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.owner.closed)
	return err
}
