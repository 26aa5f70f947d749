package e2e

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/wisp-shim/wisp/e2e/harness"
)

// promptly bounds what must not wait for a time-out of ten seconds, as the reference does.
const promptly = 5 * time.Second

func lifeProperties() []property {
	return []property{
		{name: "ctr run shows the container's output and leaves nothing", check: ctrRuns},
		{name: "exit code is the container's own", check: exitCodes},
		{name: "two clients that wait and one that comes late get the same status", check: twoWait},
		{name: "running task is not deleted", check: runningIsNotDeleted},
		{name: "second create of a task is refused and the first is untouched", check: secondCreate},
		{name: "missing command fails create in the runtime's own words", check: missingCommand},
		{name: "pid of a task that ended at once is kept", check: shortLived},
		{name: "task never started is deleted promptly", check: neverStarted},
		{name: "task never started can be killed", check: neverStartedKilled},
		{name: "shared pid namespace keeps no process of the container", check: sharedPIDs},
	}
}

func ctrRuns(c *harness.Case) {
	stdin, typed := io.Pipe()
	run := c.CtrStart(stdin, c.RunArgs([]string{"--rm"}, c.NewID(), harness.Shell("echo to stdout; echo to stderr >&2; read line; exit 4")...)...)
	run.Out.WaitFor(c, "stdout\n") // when the container ends, ctr drops what it has not read yet
	run.Err.WaitFor(c, "stderr\n")
	c.NoError(typed.Close(), "close stdin")
	r := run.Wait()
	// ctr 2.4 warns of things of its own on stderr.
	if r.Code != 4 || r.Stdout != "to stdout\n" || !strings.HasSuffix(r.Stderr, "to stderr\n") {
		c.T.Errorf("ctr run: %+v", r)
	}
}

func exitCodes(c *harness.Case) {
	for code, script := range map[int]string{
		0: "exit 0", 1: "exit 1", 42: "exit 42", 127: "no-such-command", 137: "exit 137", 143: "exit 143", 255: "exit 255",
	} {
		r := c.Ctr(c.RunArgs([]string{"--rm"}, c.NewID(), harness.Shell(script)...)...)
		if r.Code != code {
			c.T.Errorf("%s: ctr's exit code is %d: %s", script, r.Code, r.Stderr)
		}
	}
}

func twoWait(c *harness.Case) {
	task := c.RunShell("read line; exit 42")
	other, err := client.New(c.D.Address, client.WithDefaultNamespace(c.D.Namespace))
	c.NoError(err, "connect a second client")
	defer other.Close()
	same, err := other.LoadContainer(c.Ctx, task.ID())
	c.NoError(err, "load container")
	theirs, err := same.Task(c.Ctx, nil)
	c.NoError(err, "load task")
	exited, err := theirs.Wait(c.Ctx)
	c.NoError(err, "wait")
	mine := task.Exit()
	late, err := theirs.Wait(c.Ctx)
	c.NoError(err, "wait after the exit")
	for _, status := range []client.ExitStatus{<-exited, <-late} {
		if status.Error() != nil || status.ExitCode() != mine.ExitCode() || !status.ExitTime().Equal(mine.ExitTime()) {
			c.T.Errorf("one client got %v, another %v", mine, status)
		}
	}
	if code := task.End(); code != 42 {
		c.T.Errorf("exit code %d", code)
	}
}

func runningIsNotDeleted(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	if r := c.Ctr("task", "delete", task.ID()); r.Code == 0 {
		c.T.Error("ctr deleted a running task")
	}
	// The client refuses by itself: ask the daemon, which asks the shim.
	_, err := c.D.Client.TaskService().Delete(c.Ctx, &tasks.DeleteTaskRequest{ContainerID: task.ID()})
	if err == nil || !strings.Contains(err.Error(), "cannot delete a running process") {
		c.T.Errorf("delete of a running task: %v", err)
	}
	if s := task.State(); s.Status != client.Running {
		c.T.Errorf("after the refusal the task is %s", s.Status)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func secondCreate(c *harness.Case) {
	task := c.RunShell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
	task.Out.WaitFor(c, "ready")
	if _, err := task.Container.NewTask(c.Ctx, nullIO); !errdefs.IsAlreadyExists(err) {
		c.T.Errorf("second create: %v", err)
	}
	task.Signal(syscall.SIGTERM)
	if code := task.End(); code != 3 {
		c.T.Errorf("the first task's exit code is %d", code)
	}
}

func missingCommand(c *harness.Case) {
	container := c.NewContainer(harness.TaskConfig{Args: []string{"no-such-command"}})
	_, err := container.NewTask(c.Ctx, nullIO)
	if err == nil || !strings.Contains(err.Error(), `exec: "no-such-command": executable file not found in $PATH`) {
		c.T.Errorf("create: %v", err)
	}
}

func shortLived(c *harness.Case) {
	for range 5 {
		task := c.NewTask(harness.TaskConfig{Args: []string{"true"}})
		created := task.Pid()
		task.Begin()
		if task.Pid() == 0 || task.Pid() != created {
			c.T.Errorf("pid %d after create, %d after start", created, task.Pid())
		}
		if code := task.End(); code != 0 {
			c.T.Errorf("exit code %d", code)
		}
	}
}

func neverStarted(c *harness.Case) {
	task := c.NewTask(harness.TaskConfig{Args: []string{"true"}})
	begun := time.Now()
	_, err := c.D.Client.TaskService().Delete(c.Ctx, &tasks.DeleteTaskRequest{ContainerID: task.ID()})
	c.NoError(errgrpc.ToNative(err), "delete created task")
	if took := time.Since(begun); took > promptly && harness.Ours() {
		c.T.Errorf("delete took %v", took)
	}
	if harness.Alive(task.Pid()) {
		c.T.Error("its process lives")
	}
	task.IO().Cancel()
	c.NoError(task.IO().Close(), "close stdio")
}

func neverStartedKilled(c *harness.Case) {
	task := c.NewTask(harness.TaskConfig{Args: []string{"true"}})
	exited, err := task.Wait(c.Ctx)
	c.NoError(err, "wait")
	task.Signal(syscall.SIGKILL)
	if status := <-exited; status.ExitCode() != 137 || status.Error() != nil {
		c.T.Errorf("exit status %v", status)
	}
	_, err = task.Delete(c.Ctx)
	c.NoError(err, "delete killed task")
}

func sharedPIDs(c *harness.Case) {
	task := c.Run(harness.TaskConfig{
		Args: harness.Shell("sleep 1000 & sleep 1001 & trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"),
		Spec: hostPIDs(),
	})
	task.Out.WaitFor(c, "ready")
	exec := task.Exec("background", "sleep 1002 & exit 0")
	if code := exec.Exit().ExitCode(); code != 0 {
		c.T.Errorf("exec's exit code is %d", code)
	}
	pids, err := task.API.Pids(c.Ctx)
	c.NoError(err, "list pids")
	if len(pids) < 4 {
		c.T.Errorf("pids %v", pids)
	}
	task.Signal(syscall.SIGTERM)
	if code := task.Exit().ExitCode(); code != 9 {
		c.T.Errorf("exit code %d", code)
	}
	exec.End()
	task.End()
	c.Eventually(promptly, func() bool {
		for _, p := range pids {
			if harness.Alive(p.Pid) {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("a process of %v lives", pids) })
}
