package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/wisp-shim/wisp/e2e/harness"
)

// crashLimit bounds what containerd does by itself after a crash.
const crashLimit = 20 * time.Second

func crashProperties() []property {
	return []property{
		{name: "task and its stdio outlive the daemon and its exit is reported", check: daemonDies},
		{name: "exit while the daemon is down is announced when it is back", check: exitWhileDown, when: ours},
		{name: "task that ended while the daemon was down keeps its status", check: stoppedWhileDown,
			when: func(d *harness.Daemon) bool { return ours(d) && modern(d) }},
		{name: "death of a shim ends its container and is reported", check: shimDies},
	}
}

func daemonDies(c *harness.Case) {
	task := c.RunShell("i=0; while :; do i=$((i+1)); echo $i; usleep 20000; done")
	flows := func(when string) {
		c.T.Helper()
		seen := len(task.Out.String())
		c.Eventually(crashLimit, func() bool { return len(task.Out.String()) > seen },
			func() string { return "no output " + when })
	}
	flows("before the crash")
	c.D.Kill(c.T)
	flows("while the daemon is down")
	c.D.Boot(c.T)
	flows("after the restart")
	if s := task.State(); s.Status != client.Running {
		c.T.Errorf("after the restart the task is %s", s.Status)
	}
	if exec := task.Exec("e", "exit 5"); exec.End() != 5 {
		c.T.Error("exec after the restart has not its own exit code")
	}
	events := c.Record()
	exited, err := task.Wait(c.Ctx)
	c.NoError(err, "wait")
	task.Signal(syscall.SIGKILL)
	if status := <-exited; status.ExitCode() != 137 || status.Error() != nil {
		c.T.Errorf("exit status %v", status)
	}
	if e := events.Await(task.ID(), "exit"); e.Status != 137 || e.Pid != task.Pid() {
		c.T.Errorf("exit event %+v", e)
	}
	c.Drain(task.IO())
	_, err = task.Delete(c.Ctx)
	c.NoError(err, "delete")
	for i, line := range strings.Split(strings.TrimSpace(task.Out.String()), "\n") {
		if line != fmt.Sprint(i+1) {
			c.T.Fatalf("line %d is %q", i+1, line)
		}
	}
}

// gated runs a task that ends with 42 when the returned function is called.
func gated(c *harness.Case) (*harness.Task, func()) {
	c.T.Helper()
	dir := c.T.TempDir()
	task := c.Run(harness.TaskConfig{
		Args: harness.Shell("until [ -e /mnt/go ]; do usleep 20000; done; exit 42"), Spec: bind(dir),
	})
	return task, func() {
		c.T.Helper()
		c.NoError(os.WriteFile(filepath.Join(dir, "go"), nil, 0o644), "open the gate")
		c.Eventually(crashLimit, func() bool { return !harness.Alive(task.Pid()) },
			func() string { return "the container goes on" })
	}
}

func exitWhileDown(c *harness.Case) {
	task, end := gated(c)
	c.D.Kill(c.T)
	end()
	events := c.RecordFromBoot()
	c.D.Boot(c.T)
	if e := events.Await(task.ID(), "exit"); e.Status != 42 || e.Pid != task.Pid() {
		c.T.Errorf("exit event %+v", e)
	}
	discard(c, task)
}

func stoppedWhileDown(c *harness.Case) {
	task, end := gated(c)
	c.D.Kill(c.T)
	end()
	c.D.Boot(c.T)
	if s := task.State(); s.Status != client.Stopped || s.ExitStatus != 42 {
		c.T.Errorf("after the restart: %+v", s)
	}
	exited, err := task.Wait(c.Ctx)
	c.NoError(err, "wait")
	if status := <-exited; status.ExitCode() != 42 {
		c.T.Errorf("exit status %v", status)
	}
	status, err := task.Delete(c.Ctx)
	c.NoError(err, "delete")
	if status.ExitCode() != 42 {
		c.T.Errorf("delete says %v", status)
	}
}

// discard deletes a task that containerd may have forgotten.
func discard(c *harness.Case, task *harness.Task) {
	c.T.Helper()
	if _, err := task.Delete(c.Ctx); err != nil && !errdefs.IsNotFound(err) {
		c.T.Errorf("delete: %v", err)
	}
	task.IO().Cancel()
	_ = task.IO().Close()
}

func shimDies(c *harness.Case) {
	events := c.Record()
	task := c.RunShell("sleep 1000 & sleep 1001")
	exec := task.Exec("e", "sleep 1002")
	pids, err := task.API.Pids(c.Ctx)
	c.NoError(err, "list pids")
	shims := c.D.Shims(task.ID())
	if len(shims) != 1 {
		c.T.Fatalf("shims %v", shims)
	}
	c.NoError(syscall.Kill(shims[0], syscall.SIGKILL), "kill the shim")
	if e := events.Await(task.ID(), "exit"); e.Status != 137 || e.Pid != task.Pid() {
		c.T.Errorf("exit event %+v", e)
	}
	events.Await(task.ID(), "delete")
	for _, p := range pids {
		c.Eventually(crashLimit, func() bool { return !harness.Alive(p.Pid) },
			func() string { return fmt.Sprintf("process %d of the container lives", p.Pid) })
	}
	c.Eventually(crashLimit, func() bool {
		_, err := task.Container.Task(c.Ctx, nil)
		return errdefs.IsNotFound(err)
	}, func() string { return "the task is still there" })
	for _, p := range []*harness.Process{exec, task.Process} {
		p.IO().Cancel()
		_ = p.IO().Close()
	}
	if !harness.Ours() {
		_ = os.Remove(c.D.Socket(task.ID())) // the reference leaves it
	}
}
