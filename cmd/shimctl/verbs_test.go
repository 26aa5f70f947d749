package main

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/console"

	"github.com/wisp-shim/wisp/protos"
)

// verb runs another verb on a container of the fixture.
func (f *fixture) verb(t *testing.T, stdin, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), f.shimctl, append([]string{name, "--root", f.root, "--namespace", f.namespace}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// lost starts a container that runs until it is killed, and kills its shimctl once the shim has told of the start: the command may print before that.
func (f *fixture) lost(t *testing.T, id string) {
	t.Helper()
	cmd := f.command(t, "--id", id, "--events", "--env", "WORD=inits", f.rootfs, "sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	bufio.NewScanner(stdout).Scan()
	for events := bufio.NewScanner(stderr); !strings.Contains(events.Text(), protos.TopicStart); {
		if !events.Scan() {
			t.Fatal("no start event")
		}
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// A container whose shimctl was killed goes on, is found by every verb, and can be taken away, alive, ended, or with its shim dead.
func (f *fixture) lostContainerIsFoundAgain(t *testing.T) {
	f.lost(t, "lost")
	if r := f.verb(t, "", "ls"); r.code != 0 || !strings.Contains(r.stdout, f.namespace+"\tlost\trunning\t") {
		t.Errorf("ls: %+v", r)
	}
	if r := f.verb(t, "", "state", "lost"); r.code != 0 || !strings.Contains(r.stdout, "status=RUNNING\n") || strings.Contains(r.stdout, "exited_at") {
		t.Errorf("state: %+v", r)
	}
	if r := f.verb(t, "", "pids", "lost"); r.code != 0 || strings.Count(r.stdout, "\n") < 1 {
		t.Errorf("pids: %+v", r)
	}
	if r := f.verb(t, "typed", "exec", "--env", "X=y", "lost", "sh", "-c", "echo $WORD $X; cat; exit 6"); r.code != 6 || r.stdout != "inits y\ntyped" {
		t.Errorf("exec: %+v", r)
	}
	if r := f.verb(t, "", "exec", "lost", "nosuch"); r.code != exitNotFound || !strings.HasPrefix(r.stderr, "shimctl: ") {
		t.Errorf("exec of what does not exist: %+v", r)
	}
	f.execOnTerminal(t)
	if r := f.verb(t, "", "kill", "lost", "USR1"); r.code != 0 {
		t.Errorf("kill: %+v", r)
	}
	if r := f.verb(t, "", "wait", "lost"); r.code != 9 {
		t.Errorf("wait: %+v", r)
	}
	if r := f.verb(t, "", "delete", "lost"); r.code != 0 || r.stderr != "" {
		t.Errorf("delete of what has ended: %+v", r)
	}
	f.checkNothingLeft(t)

	f.lost(t, "alive")
	if r := f.verb(t, "", "delete", "alive"); r.code != 0 || r.stderr != "" {
		t.Errorf("delete of what runs: %+v", r)
	}
	f.checkNothingLeft(t)

	f.lost(t, "dead")
	f.killShim(t)
	if r := f.verb(t, "", "ls"); !strings.Contains(r.stdout, "\tdead\tdead\t") {
		t.Errorf("ls of a dead shim: %+v", r)
	}
	if r := f.verb(t, "", "delete", "dead"); r.code != 0 {
		t.Errorf("delete of a dead shim: %+v", r)
	}
	f.checkNothingLeft(t)
	if r := f.verb(t, "", "state", "dead"); r.code != exitFailure || !strings.Contains(r.stderr, "find container") {
		t.Errorf("state of what is gone: %+v", r)
	}
}

func (f *fixture) execOnTerminal(t *testing.T) {
	t.Helper()
	cmd := f.command(t)
	cmd.Args = []string{f.shimctl, "exec", "--root", f.root, "--namespace", f.namespace, "-t", "lost", "sh", "-c", "stty size; read line; exit 4"}
	master, _ := pty(t, cmd, console.WinSize{Height: 21, Width: 77})
	expect(t, bufio.NewScanner(master), "21 77")
	_, err := master.Write([]byte("x\r"))
	must(t, err)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exec -t: code %d, want 4", code)
	}
}
