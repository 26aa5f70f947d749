package e2e

import (
	"strings"
	"syscall"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func resourceProperties() []property {
	return []property{
		{name: "paused task stands still until it is resumed", check: pauseResume},
		{name: "update changes the limits that metrics report", check: updateLimits},
		{name: "update of nothing is survived", check: updateNothing, when: ours},
		{name: "ctr shows metrics", check: ctrMetrics},
		{name: "metrics remain after the exit", check: metricsAfterExit},
	}
}

func pauseResume(c *harness.Case) {
	events := c.Record()
	task := c.RunShell("while :; do echo tick; usleep 10000; done")
	task.Out.WaitFor(c, "tick")
	c.CtrOK("task", "pause", task.ID())
	if s := task.State(); s.Status != client.Paused {
		c.T.Errorf("after pause the task is %s", s.Status)
	}
	if list := c.CtrOK("task", "ls"); !strings.Contains(list, "PAUSED") {
		c.T.Errorf("ctr task ls: %s", list)
	}
	// What the container wrote before the pause is on its way for a moment.
	before := ""
	c.Eventually(promptly, func() bool {
		last := before
		before = task.Out.String()
		return last == before
	}, func() string { return "a paused task goes on writing" })
	c.CtrOK("task", "resume", task.ID())
	c.Eventually(promptly, func() bool { return len(task.Out.String()) > len(before) },
		func() string { return "a resumed task writes nothing" })
	task.Signal(syscall.SIGKILL)
	expect(c, finish(c, events, task), "create", "start", "paused", "resumed", "exit")
}

// usage is what the tests compare of either cgroup version's metrics.
type usage struct{ cpu, memory, memoryLimit, pids, pidsLimit uint64 }

func measure(c *harness.Case, task *harness.Task) usage {
	c.T.Helper()
	metric, err := task.API.Metrics(c.Ctx)
	c.NoError(err, "metrics")
	value, err := typeurl.UnmarshalAny(metric.Data)
	c.NoError(err, "decode metrics")
	switch m := value.(type) {
	case *cgroup1.Metrics:
		return usage{
			cpu: m.GetCPU().GetUsage().GetTotal(), memory: m.GetMemory().GetUsage().GetUsage(),
			memoryLimit: m.GetMemory().GetUsage().GetLimit(), pids: m.GetPids().GetCurrent(), pidsLimit: m.GetPids().GetLimit(),
		}
	case *cgroup2.Metrics:
		return usage{
			cpu: m.GetCPU().GetUsageUsec(), memory: m.GetMemory().GetUsage(),
			memoryLimit: m.GetMemory().GetUsageLimit(), pids: m.GetPids().GetCurrent(), pidsLimit: m.GetPids().GetLimit(),
		}
	}
	c.T.Fatalf("metrics of type %T", value)
	return usage{}
}

func updateLimits(c *harness.Case) {
	const memory, pids = 64 << 20, 77
	task := c.RunShell("echo ready; sleep 1000 & wait")
	task.Out.WaitFor(c, "ready")
	c.Eventually(promptly, func() bool { return measure(c, task).pids == 2 }, func() string { return "no second process is counted" })
	if u := measure(c, task); u.cpu == 0 || u.memory == 0 || u.memoryLimit <= memory {
		c.T.Errorf("before the update: %+v", u)
	}
	limit, number := int64(memory), int64(pids)
	c.NoError(task.API.Update(c.Ctx, client.WithResources(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: &number},
	})), "update")
	if u := measure(c, task); u.memoryLimit != memory || u.pidsLimit != pids {
		c.T.Errorf("after the update: %+v", u)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func updateNothing(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	_ = task.API.Update(c.Ctx) // it may be refused; the reference dies of it
	if s := task.State(); s.Status != client.Running {
		c.T.Errorf("the task is %s", s.Status)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func ctrMetrics(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	table := c.CtrOK("task", "metrics", task.ID())
	for _, want := range []string{task.ID(), "memory.usage_in_bytes", "pids.current"} {
		if !strings.Contains(table, want) && !strings.Contains(table, strings.ReplaceAll(want, "_in_bytes", "")) {
			c.T.Errorf("no %s in %s", want, table)
		}
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func metricsAfterExit(c *harness.Case) {
	task := c.RunShell("true")
	task.Exit()
	if u := measure(c, task); u.pids != 0 {
		c.T.Errorf("a stopped task has %d processes", u.pids)
	}
	task.End()
}
