package e2e

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func eventProperties() []property {
	return []property{
		{name: "events come in the order of a life", check: eventOrder},
		{name: "events carry the pids and statuses that the replies carry", check: eventValues},
		{name: "start comes before exit when a process ends at once", check: instantOrder},
		{name: "exits of all execs come before that of init", check: execsFirst},
		{name: "out of memory is announced", check: outOfMemory},
		{name: "out of memory is announced before the exit", check: outOfMemoryFirst, when: ours},
	}
}

// finish ends a task and returns all its events. The reference sends an exit after it has let Wait go, so
// that the delete may overtake it, and it may leave with events unsent: its exit is awaited before the
// delete, and its delete event is left out.
func finish(c *harness.Case, events *harness.Recording, task *harness.Task) []string {
	c.T.Helper()
	if harness.Ours() {
		task.End()
		events.Await(task.ID(), "delete")
		return events.Names(task.ID())
	}
	task.Exit()
	events.Await(task.ID(), "exit")
	task.End()
	return slices.DeleteFunc(events.Names(task.ID()), func(name string) bool { return name == "delete" })
}

// expect compares a life's events. Its last is the delete, as finish says.
func expect(c *harness.Case, got []string, want ...string) {
	c.T.Helper()
	if harness.Ours() {
		want = append(want, "delete")
	}
	if !slices.Equal(got, want) {
		c.T.Errorf("events %q, want %q", got, want)
	}
}

func eventOrder(c *harness.Case) {
	events := c.Record()
	task := c.RunShell("sleep 1000")
	exec := task.Exec("e", "exit 5")
	exec.End()
	task.Signal(syscall.SIGKILL)
	expect(c, finish(c, events, task), "create", "start", "exec-added e", "exec-started e", "exit e", "exit")
}

func eventValues(c *harness.Case) {
	events := c.Record()
	task := c.RunShell("sleep 1000")
	exec := task.Exec("e", "exit 5")
	execPid := exec.Pid()
	exec.End()
	task.Signal(syscall.SIGKILL)
	exit := task.Exit()
	finish(c, events, task)
	for name, pid := range map[string]uint32{
		"create": task.Pid(), "start": task.Pid(), "exec-started e": execPid, "exit e": execPid, "exit": task.Pid(),
	} {
		if e := events.Await(task.ID(), name); e.Pid != pid {
			c.T.Errorf("%s has pid %d, not %d", name, e.Pid, pid)
		}
	}
	for name, status := range map[string]uint32{"exit e": 5, "exit": 137} {
		if e := events.Await(task.ID(), name); e.Status != status {
			c.T.Errorf("%s has status %d, not %d", name, e.Status, status)
		}
	}
	if harness.Ours() {
		if e := events.Await(task.ID(), "delete"); e.Pid != task.Pid() || e.Status != 137 {
			c.T.Errorf("delete has pid %d and status %d", e.Pid, e.Status)
		}
	}
	if e := events.Await(task.ID(), "exit"); !e.ExitedAt.Equal(exit.ExitTime()) {
		c.T.Errorf("the event says %v, Wait said %v", e.ExitedAt, exit.ExitTime())
	}
}

func instantOrder(c *harness.Case) {
	events := c.Record()
	const lives = 5
	for range lives {
		task := c.RunShell("sleep 1000")
		exec := task.NewExec("e", harness.TaskConfig{Args: []string{"true"}})
		exec.Begin()
		exec.End()
		task.Signal(syscall.SIGKILL)
		short := c.Run(harness.TaskConfig{Args: []string{"true"}})
		expect(c, finish(c, events, short), "create", "start", "exit")
		expect(c, finish(c, events, task), "create", "start", "exec-added e", "exec-started e", "exit e", "exit")
	}
}

func execsFirst(c *harness.Case) {
	events := c.Record()
	task := c.RunShell("sleep 1000")
	var execs []*harness.Process
	for i := range 4 {
		execs = append(execs, task.Exec(fmt.Sprintf("e%d", i), "sleep 1000"))
	}
	task.Signal(syscall.SIGKILL)
	task.Exit()
	for _, exec := range execs {
		if code := exec.End(); code != 137 {
			c.T.Errorf("%s: exit code %d", exec.ID(), code)
		}
	}
	names := finish(c, events, task)
	for _, exec := range execs {
		if i := slices.Index(names, "exit "+exec.ID()); i < 0 || i > slices.Index(names, "exit") {
			c.T.Errorf("events %q", names)
		}
	}
}

// hungry runs a container out of memory: the shell doubles a variable until the kernel kills it.
func hungry(c *harness.Case) *harness.Task {
	c.T.Helper()
	const limit = 16 << 20
	return c.Run(harness.TaskConfig{
		Args: harness.Shell("x=0123456789; while :; do x=$x$x; done"), Spec: []oci.SpecOpts{oci.WithMemoryLimit(limit)},
	})
}

func outOfMemory(c *harness.Case) {
	events := c.Record()
	task := hungry(c)
	events.Await(task.ID(), "oom")
	if code := task.End(); code != 137 {
		c.T.Errorf("exit code %d: %s", code, task.Err)
	}
}

func outOfMemoryFirst(c *harness.Case) {
	events := c.Record()
	for range 3 {
		expect(c, finish(c, events, hungry(c)), "create", "start", "oom", "exit")
	}
}
