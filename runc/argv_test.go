package runc

import (
	"strings"
	"syscall"
	"testing"
)

// golden command lines follow spec 3.4.
func TestCommandLines(t *testing.T) {
	terminal := CreateOptions{Bundle: "/b", PidFile: "/b/init.pid", ConsoleSocket: "/b/c.sock", NoPivot: true, NoNewKeyring: true}
	plain := CreateOptions{Bundle: "/b", PidFile: "/b/init.pid"}
	exec := ExecOptions{ProcessFile: "/b/p", PidFile: "/b/e.pid"}
	execTerminal := exec
	execTerminal.ConsoleSocket = "/b/c.sock"
	checkpoint := CheckpointOptions{
		ImagePath: "/i", WorkPath: "/w", ParentPath: "/p", OpenTCP: true, ExternalSockets: true, Terminal: true, FileLocks: true,
		EmptyNamespaces: []string{"network", "ipc"}, LeaveRunning: true,
	}
	restore := RestoreOptions{CreateOptions: terminal, ImagePath: "/i", WorkPath: "/w", ParentPath: "/p"}
	for _, c := range []struct {
		got  []string
		want string
	}{
		{plain.args("id"), "create --bundle /b --pid-file /b/init.pid id"},
		{terminal.args("id"), "create --bundle /b --pid-file /b/init.pid --console-socket /b/c.sock --no-pivot --no-new-keyring id"},
		{exec.args("id"), "exec --process /b/p --detach --pid-file /b/e.pid id"},
		{execTerminal.args("id"), "exec --process /b/p --console-socket /b/c.sock --detach --pid-file /b/e.pid id"},
		{deleteArgs("id", false), "delete id"},
		{deleteArgs("id", true), "delete --force id"},
		{killArgs("id", syscall.SIGTERM, false), "kill id 15"},
		{killArgs("id", syscall.SIGKILL, true), "kill --all id 9"},
		{(&CheckpointOptions{}).args("id"), "checkpoint id"},
		{checkpoint.args("id"), "checkpoint --image-path /i --work-path /w --parent-path /p --tcp-established --ext-unix-sk " +
			"--shell-job --file-locks --empty-ns network --empty-ns ipc --leave-running id"},
		{restore.args("id"), "restore --image-path /i --work-path /w --parent-path /p --detach --pid-file /b/init.pid " +
			"--console-socket /b/c.sock --no-pivot -no-subreaper --bundle /b id"},
	} {
		if got := strings.Join(c.got, " "); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestGlobalFlags(t *testing.T) {
	for _, c := range []struct {
		r    Runtime
		log  string
		want string
	}{
		{Runtime{}, "", "runc start id"},
		{Runtime{Binary: "/usr/bin/crun", Root: "/r"}, "/l", "/usr/bin/crun --root /r --log /l --log-format json start id"},
		{Runtime{Root: "/r", SystemdCgroup: true}, "/l", "runc --root /r --log /l --log-format json --systemd-cgroup start id"},
		{Runtime{SystemdCgroup: true}, "", "runc --systemd-cgroup start id"},
		// runc-fp wants --log no earlier than at index 2.
		{Runtime{}, "/l", "runc --log-format json --log /l start id"},
	} {
		if got := strings.Join(c.r.args(&call{argv: []string{"start", "id"}, log: c.log}), " "); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
