package e2e

import (
	"io"
	"strings"
	"syscall"

	"github.com/containerd/console"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func terminalProperties() []property {
	return []property{
		{name: "ctr run -t has a terminal that follows its own size", check: ctrTerminal},
		{name: "ctr exec -t has a terminal that follows its own size", check: ctrExecTerminal},
		{name: "terminal passes keys and interrupts on", check: keys},
		{name: "ctr attaches to a detached terminal", check: attachTerminal},
		{name: "size set before start is the first one seen", check: resizeEarly, when: ours},
		{name: "64 MiB through a terminal arrive unchanged", check: bulkTerminal},
		{name: "64 MiB through the terminal of ctr run arrive unchanged", check: bulkCtrTerminal},
	}
}

// sizes prints the terminal's size until it is 50 lines of 132 columns, and then exits with 7.
const sizes = `until [ "$(stty size)" = "50 132" ]; do echo "size $(stty size)"; sleep 0.05; done; exit 7`

// resized drives a ctr command that runs the script sizes.
func resized(c *harness.Case, ctr *harness.Command) {
	c.T.Helper()
	ctr.Out.WaitFor(c, "size 24 80\r\n")
	c.NoError(ctr.Console.Resize(console.WinSize{Height: 50, Width: 132}), "resize the terminal")
	if r := ctr.Wait(); r.Code != 7 {
		c.T.Errorf("ctr: %+v", r)
	}
}

func ctrTerminal(c *harness.Case) {
	resized(c, c.CtrTerminal(console.WinSize{Height: 24, Width: 80}, nil,
		c.RunArgs([]string{"--rm", "--tty"}, c.NewID(), harness.Shell(sizes)...)...))
}

func ctrExecTerminal(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	resized(c, c.CtrTerminal(console.WinSize{Height: 24, Width: 80}, nil,
		"task", "exec", "--tty", "--exec-id", "e", "--fifo-dir", c.T.TempDir(), task.ID(), "sh", "-c", sizes))
	task.Signal(syscall.SIGKILL)
	task.End()
}

func keys(c *harness.Case) {
	run := c.CtrTerminal(console.WinSize{Height: 24, Width: 80}, nil, c.RunArgs([]string{"--rm", "--tty"}, c.NewID(),
		harness.Shell("tty; trap 'exit 8' INT; while :; do read line && echo \"got $line\"; done")...)...)
	run.Out.WaitFor(c, "/dev/pts/0\r\n")
	run.Type("hello\n")
	run.Out.WaitFor(c, "got hello\r\n")
	run.Type("\x03") // Ctrl-C: the container's own terminal makes a signal of it
	if r := run.Wait(); r.Code != 8 {
		c.T.Errorf("ctr run: %+v", r)
	}
}

func attachTerminal(c *harness.Case) {
	id, size := c.NewID(), console.WinSize{Height: 24, Width: 80}
	run := c.CtrTerminal(size, nil, c.RunArgs([]string{"--detach", "--tty"}, id,
		harness.Shell(`while read line; do echo "got $line"; [ "$line" = end ] && exit 3; done`)...)...)
	if r := run.Wait(); r.Code != 0 {
		c.T.Fatalf("ctr run: %+v", r)
	}
	attached := c.CtrTerminal(size, nil, "task", "attach", id)
	attached.Type("hello\n")
	attached.Out.WaitFor(c, "got hello\r\n")
	attached.Type("end\n")
	if r := attached.Wait(); r.Code != 3 {
		c.T.Errorf("ctr attach: %+v", r)
	}
}

func resizeEarly(c *harness.Case) {
	task := c.NewTask(harness.TaskConfig{Args: []string{"stty", "size"}, Terminal: true, Stdin: strings.NewReader("")})
	c.NoError(task.Resize(c.Ctx, 132, 50), "resize before start")
	task.Begin()
	if code := task.End(); code != 0 || task.Out.String() != "50 132\r\n" {
		c.T.Errorf("exit code %d, size %q", code, task.Out)
	}
}

// raw sends the payload through a terminal that changes no byte.
const raw = "stty raw -echo && cat /mnt/payload"

func bulkTerminal(c *harness.Case) {
	dir, sum := payload(c)
	got := newTally()
	stdin, typed := io.Pipe()
	defer typed.Close()
	task := c.Run(harness.TaskConfig{
		Args: harness.Shell(raw), Spec: bind(dir), Terminal: true, Stdin: stdin, Stdout: got,
	})
	if code := task.End(); code != 0 {
		c.T.Errorf("exit code %d", code)
	}
	got.equal(c, sum)
}

func bulkCtrTerminal(c *harness.Case) {
	dir, sum := payload(c)
	got := newTally()
	flags := []string{"--rm", "--tty", "--mount", "type=bind,src=" + dir + ",dst=/mnt,options=rbind:ro"}
	run := c.CtrTerminal(console.WinSize{Height: 24, Width: 80}, got,
		c.RunArgs(flags, c.NewID(), harness.Shell(raw+"; read line")...)...)
	got.await(c) // when the container ends, ctr drops what it has not read yet
	run.Type("\n")
	if r := run.Wait(); r.Code != 0 {
		c.T.Errorf("ctr run: %+v", r)
	}
	got.equal(c, sum)
}
