package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/console"
	"github.com/wisp-shim/wisp/internal/launch"
	"golang.org/x/sys/unix"
)

// pty starts shimctl on a terminal of its own, of which the test holds the other end alone: closing it hangs up.
func pty(t *testing.T, cmd *exec.Cmd, size console.WinSize) (master console.Console, before *unix.Termios) {
	t.Helper()
	master, path, err := console.NewPty()
	must(t, err)
	t.Cleanup(func() { _ = master.Close() })
	must(t, master.Resize(size))
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	before, err = unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	must(t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	must(t, slave.Close())
	return master, before
}

// expect reads lines until one is want.
func expect(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == want {
			return
		}
	}
	t.Fatalf("no line %q: %v", want, lines.Err())
}

// With -t the container has a terminal of the size of ours, at the start and after a change; what is typed reaches it; and ours is given back
// as it was.
func (f *fixture) terminalHasOurSize(t *testing.T) {
	cmd := f.command(t, "-t", f.rootfs, "sh", "-c",
		`trap 'stty size' WINCH; stty size; while :; do read line && break; done; echo "got $line"; exit 5`)
	master, before := pty(t, cmd, console.WinSize{Height: 33, Width: 99})
	lines := bufio.NewScanner(master)
	expect(t, lines, "33 99")
	must(t, master.Resize(console.WinSize{Height: 44, Width: 111}))
	expect(t, lines, "44 111")
	_, err := master.Write([]byte("typed\r"))
	must(t, err)
	expect(t, lines, "got typed")
	if code := f.wait(t, cmd); code != 5 {
		t.Errorf("code %d, want 5", code)
	}
	after, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS) // of a pty both ends have the same
	must(t, err)
	if *before != *after {
		t.Errorf("the terminal was %+v and is %+v", before, after)
	}
}

// When our terminal is hung up, a container that does not mind is killed: nobody would ever see it again.
func (f *fixture) hangUpEndsTheContainer(t *testing.T) {
	cmd := f.command(t, "-t", f.rootfs, "sh", "-c", "trap '' HUP; echo ready; while :; do sleep 0.01; done")
	master, _ := pty(t, cmd, console.WinSize{Height: 33, Width: 99})
	expect(t, bufio.NewScanner(master), "ready")
	must(t, master.Close())
	if code := f.wait(t, cmd); code != 137 {
		t.Errorf("code %d, want 137", code)
	}
}

// A second container of the same id is refused, and the first does not notice.
func (f *fixture) idInUseIsLeftAlone(t *testing.T) {
	cmd := f.command(t, "--id", "twice", f.rootfs, "sh", "-c", "echo ready; read line; exit 3")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	bufio.NewScanner(stdout).Scan()
	output, err := f.command(t, "--id", "twice", f.rootfs, "true").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitFailure || !strings.Contains(string(output), "in use") {
		t.Errorf("the second: %v, %q", err, output)
	}
	must(t, stdin.Close())
	if code := f.wait(t, cmd); code != 3 {
		t.Errorf("the first: code %d, want 3", code)
	}
}

// When the shim is killed, shimctl says so and takes the container away with the shim's delete.
func (f *fixture) deadShimIsCleanedUp(t *testing.T) {
	cmd := f.command(t, "--id", "orphan", f.rootfs, "sh", "-c", "echo ready; while :; do sleep 1; done")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	must(t, cmd.Start())
	bufio.NewScanner(stdout).Scan()
	f.killShim(t)
	if code := f.wait(t, cmd); code != exitFailure || !strings.HasPrefix(stderr.String(), "shimctl: ") {
		t.Errorf("code %d, standard error %q", code, stderr)
	}
}

// killShim kills the only shim of the fixture and waits until it has ended.
func (f *fixture) killShim(t *testing.T) {
	t.Helper()
	for _, line := range f.processes(t) {
		pid, command, _ := strings.Cut(line, ": ")
		if !strings.HasPrefix(command, strconv.Quote(f.shim)[:len(f.shim)+1]) {
			continue
		}
		process, err := launch.OpenProcess(atoi(t, pid))
		must(t, err)
		must(t, process.Kill())
		must(t, process.Wait(t.Context()))
		must(t, process.Close())
		return
	}
	t.Fatal("found no shim to kill")
}
