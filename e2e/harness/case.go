package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// A Case is one test case against one daemon. Its methods end the test when they fail.
type Case struct {
	T   *testing.T
	D   *Daemon
	Ctx context.Context // in the daemon's namespace, and bounded
}

// NewCase returns the case of t. At its end the daemon's log is shown if it failed.
func NewCase(t *testing.T, d *Daemon) *Case {
	c := &Case{T: t, D: d, Ctx: d.Context(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(d.logTail())
		}
	})
	return c
}

// NoError ends the test if err is not nil; doing says what was done, as in "start task".
func (c *Case) NoError(err error, doing string) {
	c.T.Helper()
	if err != nil {
		c.T.Fatalf("%s: %v", doing, err)
	}
}

// NewID returns a container id that no other case has. At the end of the case its container record is
// removed, and everything that its shim put on the machine must be gone.
func (c *Case) NewID() string {
	id := fmt.Sprintf("t%08x", rand.Uint32())
	c.T.Cleanup(func() {
		// The case's own context has ended by now.
		end := &Case{T: c.T, D: c.D}
		var cancel context.CancelFunc
		end.Ctx, cancel = context.WithTimeout(context.WithoutCancel(c.Ctx), cleanupTimeout)
		defer cancel()
		end.dispose(id)
	})
	return id
}

// dispose removes the container's record, and, where the test failed already, its task too.
func (c *Case) dispose(id string) {
	c.T.Helper()
	failed := c.T.Failed()
	if container, err := c.D.Client.LoadContainer(c.Ctx, id); err == nil {
		task, err := container.Task(c.Ctx, nil)
		if err == nil {
			if !failed {
				c.T.Errorf("%s: the test left its task behind", id)
			}
			_, _ = task.Delete(c.Ctx, client.WithProcessKill)
		}
		if err := container.Delete(c.Ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
			c.T.Errorf("%s: remove container record: %v", id, err)
		}
	}
	if left := c.D.waitGone(c.Ctx, id); len(left) > 0 {
		if !failed { // else it is a consequence
			c.T.Errorf("%s: left behind: %q", id, left)
		}
		c.D.sweep(c.T, id)
	}
}
