package harness

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd/console"
)

const outlastTimeout = 5 * time.Second // what still holds ctr's output after ctr has left is cut off

// A Result is how a ctr command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// A Command is a ctr command that runs, with a terminal or without.
type Command struct {
	Out, Err *Output         // with a terminal, Err has ctr's own warnings alone
	Console  console.Console // the test's end of the terminal, or nil

	c       *Case
	cmd     *exec.Cmd
	drained chan struct{} // closed when a terminal's output has ended
}

// ctr returns a command of the daemon's own release of ctr.
func (c *Case) ctr(args ...string) *exec.Cmd {
	args = append([]string{"--address", c.D.Address, "--namespace", c.D.Namespace}, args...)
	cmd := exec.CommandContext(c.Ctx, c.D.Ctr, args...)
	cmd.WaitDelay = outlastTimeout
	return cmd
}

// RunArgs returns the arguments of `ctr run` for the runtime under test and the test image.
func (c *Case) RunArgs(flags []string, id string, args ...string) []string {
	all := append([]string{"run", "--runtime", Runtime(), "--snapshotter", snapshotter, "--fifo-dir", c.D.fifoDir()}, flags...)
	return append(append(all, Image, id), args...)
}

// Ctr runs a ctr command without input.
func (c *Case) Ctr(args ...string) Result {
	c.T.Helper()
	return c.CtrStart(nil, args...).Wait()
}

// CtrOK runs a ctr command that has to succeed, and returns what it wrote.
func (c *Case) CtrOK(args ...string) string {
	c.T.Helper()
	r := c.Ctr(args...)
	if r.Code != 0 {
		c.T.Fatalf("ctr %q: exit code %d: %s", args, r.Code, r.Stderr)
	}
	return r.Stdout
}

// CtrStart starts a ctr command; a nil stdin is /dev/null.
func (c *Case) CtrStart(stdin io.Reader, args ...string) *Command {
	c.T.Helper()
	return c.CtrStartInto(stdin, nil, args...)
}

// CtrStartInto starts a ctr command whose standard output goes to w, if that is not nil.
func (c *Case) CtrStartInto(stdin io.Reader, w io.Writer, args ...string) *Command {
	c.T.Helper()
	k := &Command{Out: &Output{}, Err: &Output{}, c: c, cmd: c.ctr(args...)}
	if w == nil {
		w = k.Out
	}
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = stdin, w, k.Err
	c.NoError(k.cmd.Start(), "start ctr")
	return k
}

// CtrTerminal starts a ctr command on a terminal of the given size. Its output goes to w if that is not nil.
func (c *Case) CtrTerminal(size console.WinSize, w io.Writer, args ...string) *Command {
	c.T.Helper()
	master, path, err := console.NewPty()
	c.NoError(err, "open terminal")
	c.T.Cleanup(func() { _ = master.Close() })
	c.NoError(master.Resize(size), "size terminal")
	slave, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	c.NoError(err, "open terminal's other end")
	defer slave.Close()
	// ctr's raw mode leaves this on, and the container's own terminal has done it already.
	c.NoError(console.ClearONLCR(slave.Fd()), "set terminal")
	k := &Command{Out: &Output{}, Err: &Output{}, Console: master, c: c, cmd: c.ctr(args...), drained: make(chan struct{})}
	if w == nil {
		w = k.Out
	}
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = slave, slave, k.Err
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c.NoError(k.cmd.Start(), "start ctr")
	go k.drain(w)
	return k
}

// drain copies from the terminal until its last user has left, which reads as EIO. Wait waits for it.
func (k *Command) drain(w io.Writer) {
	defer close(k.drained)
	_, _ = io.Copy(w, k.Console)
}

// Type writes to the terminal, as a user does.
func (k *Command) Type(text string) {
	k.c.T.Helper()
	_, err := io.WriteString(k.Console, text)
	k.c.NoError(err, "type")
}

// Signal sends a signal to ctr itself.
func (k *Command) Signal(s os.Signal) {
	k.c.T.Helper()
	k.c.NoError(k.cmd.Process.Signal(s), "signal ctr")
}

// Wait waits until ctr has left.
func (k *Command) Wait() Result {
	k.c.T.Helper()
	code := k.c.exitCode(k.cmd.Wait())
	if k.drained != nil {
		<-k.drained
	}
	return Result{Code: code, Stdout: k.Out.String(), Stderr: k.Err.String()}
}

// exitCode turns the end of a command into its exit code. That it could not run ends the test.
func (c *Case) exitCode(err error) int {
	c.T.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	c.NoError(err, "run ctr")
	return 0
}
