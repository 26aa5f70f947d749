package e2e

import (
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func shimProperties() []property {
	return []property{
		{name: "rootfs is an overlay that the shim mounted", check: overlay},
		{name: "socket is where containerd's tools compute it and closed to others", check: socket},
		{name: "one shim answers task versions 2 and 3", check: bothVersions, when: ours},
		{name: "runtime info names the runtime and the features of runc", check: runtimeInfo, when: modern},
		{name: "containers of a pod have a shim each", check: pod, when: ours},
	}
}

func overlay(c *harness.Case) {
	task := c.RunShell("echo written > /file && grep ' / ' /proc/self/mounts; sleep 1000")
	task.Out.WaitFor(c, "overlay / overlay")
	mounts, err := os.ReadFile("/proc/self/mounts")
	c.NoError(err, "read mounts")
	if !strings.Contains(string(mounts), "overlay "+c.D.Bundle(task.ID())+"/rootfs overlay ") {
		c.T.Errorf("no overlay on the bundle's rootfs: %s", mounts)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func socket(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	info, err := os.Stat(c.D.Socket(task.ID()))
	c.NoError(err, "look at the socket")
	if perm := info.Mode().Perm(); perm != 0o600 {
		c.T.Errorf("the socket's mode is %o", perm)
	}
	if state := c.CtrOK("shim", "--id", task.ID(), "state"); !strings.Contains(state, task.ID()) {
		c.T.Errorf("ctr shim state: %s", state)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func bothVersions(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	conn, err := net.Dial("unix", c.D.Socket(task.ID()))
	c.NoError(err, "dial the shim")
	rpc := ttrpc.NewClient(conn)
	defer rpc.Close()
	two, err := taskv2.NewTTRPCTaskClient(rpc).State(c.Ctx, &taskv2.StateRequest{ID: task.ID()})
	c.NoError(err, "state by version 2")
	three, err := taskv3.NewTTRPCTaskClient(rpc).State(c.Ctx, &taskv3.StateRequest{ID: task.ID()})
	c.NoError(err, "state by version 3")
	if two.Pid != task.Pid() || three.Pid != task.Pid() {
		c.T.Errorf("pids %d and %d, not %d", two.Pid, three.Pid, task.Pid())
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func runtimeInfo(c *harness.Case) {
	info, err := c.D.Client.RuntimeInfo(c.Ctx, harness.Runtime(), nil)
	c.NoError(err, "runtime info")
	if info.Name == "" || info.Version.Version == "" {
		c.T.Errorf("runtime info: %+v", info)
	}
	known, ok := info.Features.(*features.Features)
	if !ok || !slices.Contains(known.MountOptions, "rro") {
		c.T.Errorf("features: %+v", info.Features)
	}
}

func pod(c *harness.Case) {
	id := c.NewID()
	annotated := []oci.SpecOpts{oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": id})}
	script := harness.Shell("trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done")
	pause := c.Run(harness.TaskConfig{ID: id, Args: script, Spec: annotated})
	member := c.Run(harness.TaskConfig{Args: script, Spec: annotated})
	pause.Out.WaitFor(c, "ready")
	member.Out.WaitFor(c, "ready")
	one, other := c.D.Shims(pause.ID()), c.D.Shims(member.ID())
	if len(one) != 1 || len(other) != 1 || one[0] == other[0] {
		c.T.Errorf("shims %v and %v", one, other)
	}
	pause.Signal(syscall.SIGTERM)
	if code := pause.End(); code != 6 {
		c.T.Errorf("exit code %d", code)
	}
	if s := member.State(); s.Status != client.Running {
		c.T.Errorf("after the end of the sandbox's own container the other is %s", s.Status)
	}
	member.Signal(syscall.SIGTERM)
	if code := member.End(); code != 6 {
		c.T.Errorf("exit code %d", code)
	}
}
