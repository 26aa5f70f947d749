package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/wisp-shim/wisp/e2e/harness"
)

func execProperties() []property {
	return []property{
		{name: "ctr exec has output and exit code of its own", check: ctrExec},
		{name: "execs whose exits coincide all report their own status", check: coinciding},
		{name: "exec ends though a child keeps its output", check: backgroundChild},
		{name: "missing command fails exec in the runtime's own words", check: execMissing},
		{name: "exec id in use is refused", check: execTwice},
		{name: "exec without stdio runs", check: execNullIO, when: ours},
		{name: "process list names init and the execs", check: processList},
	}
}

func ctrExec(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	stdin, typed := io.Pipe()
	run := c.CtrStart(stdin, "task", "exec", "--exec-id", "e", "--fifo-dir", c.T.TempDir(), task.ID(),
		"sh", "-c", "echo out; echo err >&2; read line; exit 7")
	run.Out.WaitFor(c, "out\n") // when the process ends, ctr drops what it has not read yet
	run.Err.WaitFor(c, "err\n")
	c.NoError(typed.Close(), "close stdin")
	r := run.Wait()
	if r.Code != 7 || r.Stdout != "out\n" || !strings.HasSuffix(r.Stderr, "err\n") {
		c.T.Errorf("ctr exec: %+v", r)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func coinciding(c *harness.Case) {
	const execs = 12
	task := c.RunShell("sleep 1000")
	var all [execs]*harness.Process
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() {
			all[i] = task.Exec(fmt.Sprintf("e%d", i), fmt.Sprintf("until [ -e /go ]; do usleep 5000; done; exit %d", 10+i))
		})
	}
	starting.Wait()
	c.NoError(os.WriteFile(fmt.Sprintf("/proc/%d/root/go", task.Pid()), nil, 0o644), "open the gate")
	for i, exec := range all {
		if code := exec.End(); code != uint32(10+i) {
			c.T.Errorf("%s: exit code %d", exec.ID(), code)
		}
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func backgroundChild(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	exec := task.Exec("e", "sleep 1000 & echo $!; exit 4")
	if code := exec.Exit().ExitCode(); code != 4 {
		c.T.Errorf("exit code %d", code)
	}
	exec.Out.WaitFor(c, "\n")
	kill := task.Exec("k", "kill -9 "+strings.TrimSpace(exec.Out.String()))
	if code := kill.End(); code != 0 {
		c.T.Errorf("kill's exit code is %d: %s", code, kill.Err)
	}
	exec.End()
	task.Signal(syscall.SIGKILL)
	task.End()
}

func execMissing(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	exec := task.NewExec("e", harness.TaskConfig{Args: []string{"no-such-command"}})
	err := exec.Start(c.Ctx)
	if err == nil || !strings.Contains(err.Error(), `exec: "no-such-command": executable file not found in $PATH`) {
		c.T.Errorf("start: %v", err)
	}
	if _, err := exec.Delete(c.Ctx); err != nil {
		c.T.Errorf("delete of the exec that did not start: %v", err)
	}
	if again := task.Exec("e", "exit 6"); again.End() != 6 {
		c.T.Error("its id cannot be used again")
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func execTwice(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	exec := task.Exec("e", "sleep 1000")
	spec, err := task.API.Spec(c.Ctx)
	c.NoError(err, "read spec")
	if _, err := task.API.Exec(c.Ctx, "e", spec.Process, nullIO); !errdefs.IsAlreadyExists(err) {
		c.T.Errorf("second exec of that id: %v", err)
	}
	exec.Signal(syscall.SIGKILL)
	if code := exec.End(); code != 137 {
		c.T.Errorf("the first exec's exit code is %d", code)
	}
	task.Signal(syscall.SIGKILL)
	task.End()
}

func execNullIO(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	spec, err := task.API.Spec(c.Ctx)
	c.NoError(err, "read spec")
	process := *spec.Process
	process.Args = harness.Shell("echo out && echo err >&2")
	exec, err := task.API.Exec(c.Ctx, "e", &process, nullIO)
	c.NoError(err, "add exec")
	exited, err := exec.Wait(c.Ctx)
	c.NoError(err, "wait")
	c.NoError(exec.Start(c.Ctx), "start exec")
	if status := <-exited; status.ExitCode() != 0 {
		c.T.Errorf("writing to no stdio: exit code %d", status.ExitCode())
	}
	_, err = exec.Delete(c.Ctx)
	c.NoError(err, "delete exec")
	task.Signal(syscall.SIGKILL)
	task.End()
}

func processList(c *harness.Case) {
	task := c.RunShell("sleep 1000")
	exec := task.Exec("probe", "sleep 1000")
	pids, err := task.API.Pids(c.Ctx)
	c.NoError(err, "list pids")
	names := map[uint32]string{}
	for _, p := range pids {
		names[p.Pid] = ""
		if p.Info == nil {
			continue
		}
		info, err := typeurl.UnmarshalAny(p.Info)
		c.NoError(err, "decode process info")
		names[p.Pid] = info.(*options.ProcessDetails).ExecID
	}
	if name, found := names[task.Pid()]; !found || name != "" {
		c.T.Errorf("init %d in %v", task.Pid(), names)
	}
	if names[exec.Pid()] != "probe" {
		c.T.Errorf("exec %d in %v", exec.Pid(), names)
	}
	list := c.CtrOK("task", "ps", task.ID())
	for _, want := range []string{fmt.Sprint(task.Pid()), fmt.Sprint(exec.Pid()), "probe"} {
		if !strings.Contains(list, want) {
			c.T.Errorf("ctr task ps shows no %s: %s", want, list)
		}
	}
	exec.Signal(syscall.SIGKILL)
	exec.End()
	task.Signal(syscall.SIGKILL)
	task.End()
}
