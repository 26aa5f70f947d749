package e2e

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func signalProperties() []property {
	return []property{
		{name: "each signal arrives as itself", check: signalsArrive},
		{name: "ctr run passes its own signals on", check: ctrForwards},
		{name: "init that a signal ends has status 128 and the signal", check: initDiesOfSignal},
		{name: "exec that a signal ends has status 128 and the signal", check: execDiesOfSignal},
		{name: "kill of all reaches every process", check: killAll},
		{name: "kill of a task that ended says not found", check: killAfterExit},
		{name: "paused task dies of SIGKILL", check: killPaused},
	}
}

// trapping prints every signal's name but ends with KILL only.
const trapping = `for s in TERM INT HUP USR1 USR2; do trap "echo got $s" $s; done; echo ready; while :; do sleep 0.05; done`

func signalsArrive(c *harness.Case) {
	task := c.RunShell(trapping)
	task.Out.WaitFor(c, "ready")
	for _, name := range []string{"TERM", "INT", "HUP", "USR1"} {
		c.CtrOK("task", "kill", "--signal", "SIG"+name, task.ID())
		task.Out.WaitFor(c, "got "+name)
	}
	if n := strings.Count(task.Out.String(), "got"); n != 4 {
		c.T.Errorf("signals printed: %s", task.Out)
	}
	c.CtrOK("task", "kill", "--signal", "SIGKILL", task.ID())
	if code := task.End(); code != 137 {
		c.T.Errorf("exit code %d", code)
	}
}

func ctrForwards(c *harness.Case) {
	id := c.NewID()
	run := c.CtrStart(nil, c.RunArgs([]string{"--rm"}, id,
		harness.Shell("trap 'echo got it' WINCH; echo ready; while :; do sleep 0.05; done")...)...)
	run.Out.WaitFor(c, "ready")
	// ctr begins to pass signals on a moment after the start. Until then this one does nothing to it.
	c.Eventually(promptly, func() bool {
		run.Signal(syscall.SIGWINCH)
		return strings.Contains(run.Out.String(), "got it")
	}, func() string { return "the container gets no signal" })
	c.CtrOK("task", "kill", "--signal", "SIGKILL", id)
	if r := run.Wait(); r.Code != 137 {
		c.T.Errorf("ctr run: %+v", r)
	}
}

func initDiesOfSignal(c *harness.Case) {
	// With a pid namespace of its own, init takes no signal that it has no handler for.
	for signal, code := range map[syscall.Signal]uint32{syscall.SIGTERM: 143, syscall.SIGHUP: 129, syscall.SIGKILL: 137} {
		task := c.Run(harness.TaskConfig{Args: []string{"sleep", "1000"}, Spec: hostPIDs()})
		task.Signal(signal)
		if got := task.End(); got != code {
			c.T.Errorf("%v: exit code %d", signal, got)
		}
	}
}

func execDiesOfSignal(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	for signal, code := range map[syscall.Signal]uint32{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGKILL: 137} {
		exec := task.NewExec(fmt.Sprintf("e%d", signal), harness.TaskConfig{Args: []string{"sleep", "1000"}})
		exec.Begin()
		exec.Signal(signal)
		if got := exec.End(); got != code {
			c.T.Errorf("%v: exit code %d", signal, got)
		}
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func killAll(c *harness.Case) {
	task := c.RunShell("sleep 1000 & sleep 1000 & wait")
	exec := task.Exec("e", "sleep 1000")
	c.NoError(task.API.Kill(c.Ctx, syscall.SIGKILL, client.WithKillAll), "kill all")
	if code := exec.End(); code != 137 {
		c.T.Errorf("exec's exit code is %d", code)
	}
	if code := task.End(); code != 137 {
		c.T.Errorf("exit code %d", code)
	}
}

func killAfterExit(c *harness.Case) {
	task := c.RunShell("true")
	task.Exit()
	if err := task.Kill(c.Ctx, syscall.SIGTERM); !errdefs.IsNotFound(err) {
		c.T.Errorf("kill of a stopped task: %v", err)
	}
	task.End()
}

func killPaused(c *harness.Case) {
	task := c.RunShell("while :; do sleep 0.05; done")
	c.NoError(task.API.Pause(c.Ctx), "pause")
	task.Signal(syscall.SIGKILL)
	if code := task.End(); code != 137 {
		c.T.Errorf("exit code %d", code)
	}
}
