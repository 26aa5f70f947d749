package harness

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
)

// A Process is a task's init or an exec, with what it wrote.
type Process struct {
	client.Process
	Out, Err *Output

	c      *Case
	exited <-chan client.ExitStatus
	status *client.ExitStatus // once it was received
}

// Begin registers for the exit and starts the process.
func (p *Process) Begin() {
	p.c.T.Helper()
	var err error
	p.exited, err = p.Wait(p.c.Ctx)
	p.c.NoError(err, "wait for "+p.ID())
	p.c.NoError(p.Start(p.c.Ctx), "start "+p.ID())
}

// Exit waits for the process's exit and returns its status.
func (p *Process) Exit() client.ExitStatus {
	p.c.T.Helper()
	if p.status == nil {
		status := <-p.exited
		p.c.NoError(status.Error(), "wait for the exit of "+p.ID())
		p.status = &status
	}
	return *p.status
}

// End waits for the exit and for the end of the output, deletes the process, and returns its status.
func (p *Process) End() uint32 {
	p.c.T.Helper()
	code := p.Exit().ExitCode()
	p.c.Drain(p.IO())
	deleted, err := p.Delete(p.c.Ctx)
	p.c.NoError(err, "delete "+p.ID())
	if deleted.ExitCode() != code {
		p.c.T.Errorf("%s: Delete says status %d, Wait said %d", p.ID(), deleted.ExitCode(), code)
	}
	return code
}

// Drain waits until the streams have ended. One that does not, for nobody closes it, ends the test.
func (c *Case) Drain(streams cio.IO) {
	c.T.Helper()
	ended := make(chan struct{})
	go func() {
		streams.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-c.Ctx.Done():
		streams.Cancel()
		c.T.Fatalf("the output does not end: %v", c.Ctx.Err())
	}
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.c.T.Helper()
	p.c.NoError(p.Kill(p.c.Ctx, s), "kill "+p.ID())
}

// State returns the process's state and exit code as the daemon sees them.
func (p *Process) State() client.Status {
	p.c.T.Helper()
	s, err := p.Status(p.c.Ctx)
	p.c.NoError(err, "ask for the status of "+p.ID())
	return s
}

// Alive reports whether a process of that pid exists and is not a zombie.
func Alive(pid uint32) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(int(pid)), "cmdline"))
	return err == nil && len(b) > 0
}
