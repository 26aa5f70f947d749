package e2e

import (
	"io"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func stdioProperties() []property {
	return []property{
		{name: "64 MiB through stdout arrive unchanged", check: bulk},
		{name: "64 MiB through the stdout of ctr run arrive unchanged", check: bulkCtr},
		{name: "64 MiB through an exec's stdout arrive unchanged", check: bulkExec},
		{name: "stdin reaches the container and CloseIO ends it", check: closeIO},
		{name: "stdin of an exec is ended by CloseIO", check: closeIOExec},
		{name: "CloseIO before start is remembered", check: closeIOEarly, when: ours},
		{name: "ctr run ends the container's stdin with its own", check: ctrStdin},
		{name: "client that attaches anew gets the output from then on", check: attach},
		{name: "ctr attaches to a detached task and exits with its status", check: ctrAttach},
	}
}

func bulk(c *harness.Case) {
	dir, sum := payload(c)
	got := newTally()
	task := c.Run(harness.TaskConfig{Args: []string{"cat", "/mnt/payload"}, Spec: bind(dir), Stdout: got})
	if code := task.End(); code != 0 {
		c.T.Errorf("exit code %d: %s", code, task.Err)
	}
	got.equal(c, sum)
}

func bulkCtr(c *harness.Case) {
	dir, sum := payload(c)
	got := newTally()
	stdin, typed := io.Pipe()
	flags := []string{"--rm", "--mount", "type=bind,src=" + dir + ",dst=/mnt,options=rbind:ro"}
	run := c.CtrStartInto(stdin, got, c.RunArgs(flags, c.NewID(), harness.Shell("cat /mnt/payload; read line")...)...)
	got.await(c) // when the container ends, ctr drops what it has not read yet
	c.NoError(typed.Close(), "close stdin")
	run.Wait()
	got.equal(c, sum)
}

func bulkExec(c *harness.Case) {
	dir, sum := payload(c)
	task := c.Run(harness.TaskConfig{Args: []string{"sleep", "1000"}, Spec: bind(dir)})
	got := newTally()
	exec := task.NewExec("e", harness.TaskConfig{Args: []string{"cat", "/mnt/payload"}, Stdout: got})
	exec.Begin()
	if code := exec.End(); code != 0 {
		c.T.Errorf("exit code %d: %s", code, exec.Err)
	}
	got.equal(c, sum)
	task.Signal(syscall.SIGKILL)
	task.End()
}

// feed sends text to a process that copies its input, closes the input, and expects the text and an exit.
func feed(c *harness.Case, p *harness.Process, stdin *io.PipeWriter) {
	c.T.Helper()
	_, err := io.WriteString(stdin, "hello\n")
	c.NoError(err, "write to stdin")
	p.Out.WaitFor(c, "hello")
	c.NoError(stdin.Close(), "close stdin")
	c.NoError(p.CloseIO(c.Ctx, client.WithStdinCloser), "CloseIO")
	if code := p.End(); code != 0 || p.Out.String() != "hello\n" {
		c.T.Errorf("exit code %d, output %q", code, p.Out)
	}
}

func closeIO(c *harness.Case) {
	r, w := io.Pipe()
	task := c.Run(harness.TaskConfig{Args: []string{"cat"}, Stdin: r})
	feed(c, task.Process, w)
}

func closeIOExec(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	r, w := io.Pipe()
	exec := task.NewExec("e", harness.TaskConfig{Args: []string{"cat"}, Stdin: r})
	exec.Begin()
	feed(c, exec, w)
	task.Signal(syscall.SIGKILL)
	task.End()
}

func closeIOEarly(c *harness.Case) {
	task := c.NewTask(harness.TaskConfig{Args: []string{"cat"}, Stdin: strings.NewReader("")})
	c.NoError(task.CloseIO(c.Ctx, client.WithStdinCloser), "CloseIO of a created task")
	task.Begin()
	if code := task.End(); code != 0 {
		c.T.Errorf("exit code %d", code)
	}
	task = c.RunShell("sleep 1000")
	exec := task.NewExec("e", harness.TaskConfig{Args: []string{"cat"}, Stdin: strings.NewReader("")})
	c.NoError(exec.CloseIO(c.Ctx, client.WithStdinCloser), "CloseIO of an exec that is not started")
	exec.Begin()
	if code := exec.End(); code != 0 {
		c.T.Errorf("exec's exit code is %d", code)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func ctrStdin(c *harness.Case) {
	stdin, typed := io.Pipe()
	run := c.CtrStart(stdin, c.RunArgs([]string{"--rm"}, c.NewID(),
		harness.Shell("while read line; do echo got $line; done; exit 4")...)...)
	_, err := io.WriteString(typed, "one\ntwo\n")
	c.NoError(err, "write to stdin")
	run.Out.WaitFor(c, "got two") // ctr itself forgets an end that comes before the task was created
	c.NoError(typed.Close(), "close stdin")
	if r := run.Wait(); r.Code != 4 || r.Stdout != "got one\ngot two\n" {
		c.T.Errorf("ctr run: %+v", r)
	}
}

func attach(c *harness.Case) {
	stdin, typed := io.Pipe()
	defer typed.Close()
	task := c.Run(harness.TaskConfig{
		Args:  harness.Shell(`while read line; do echo "got $line"; [ "$line" = end ] && exit 3; done`),
		Stdin: stdin,
	})
	_, err := io.WriteString(typed, "first\n")
	c.NoError(err, "write to stdin")
	task.Out.WaitFor(c, "got first")
	task.IO().Cancel() // this client goes away; the FIFOs stay
	c.Drain(task.IO())

	again, more := io.Pipe()
	defer more.Close()
	var out harness.Output
	attached, err := task.Container.Task(c.Ctx, cio.NewAttach(cio.WithStreams(again, &out, nil)))
	c.NoError(err, "attach")
	exited, err := attached.Wait(c.Ctx)
	c.NoError(err, "wait")
	_, err = io.WriteString(more, "second\n")
	c.NoError(err, "write to stdin")
	out.WaitFor(c, "got second") // by now the client has opened the FIFO, which it does in its own time
	_, err = io.WriteString(more, "end\n")
	c.NoError(err, "write to stdin")
	if status := <-exited; status.ExitCode() != 3 {
		c.T.Errorf("exit code %d", status.ExitCode())
	}
	c.Drain(attached.IO())
	if out.String() != "got second\ngot end\n" {
		c.T.Errorf("output after the attach: %q", out.String())
	}
	_, err = attached.Delete(c.Ctx)
	c.NoError(err, "delete")
}

func ctrAttach(c *harness.Case) {
	id := c.NewID()
	c.CtrOK(c.RunArgs([]string{"--detach"}, id,
		harness.Shell("trap 'echo bye; exit 4' USR1; while :; do echo tick; sleep 0.05; done")...)...)
	attached := c.CtrStart(nil, "task", "attach", id)
	attached.Out.WaitFor(c, "tick\ntick\n")
	c.CtrOK("task", "kill", "--signal", "SIGUSR1", id)
	if r := attached.Wait(); r.Code != 4 {
		c.T.Errorf("ctr attach: %+v", r)
	}
}
