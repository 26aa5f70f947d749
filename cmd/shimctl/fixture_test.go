package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testLimit ends a shimctl that hangs. A run takes 0.2 s.
const testLimit = time.Minute

// fixture is a built shimctl, a shim for it, and a root of its own.
type fixture struct {
	shimctl, shim string
	legacy        bool
	rootfs, root  string
	namespace     string
	clean         bool // the shim is one that leaves nothing behind: not the reference
}

// fixtures builds shimctl and gives it every shim that there is: ours, and the reference in both protocols.
func fixtures(t *testing.T) map[string]*fixture {
	t.Helper()
	repo, err := filepath.Abs("../..")
	must(t, err)
	t.Setenv("PATH", filepath.Join(repo, ".cache/bin")+":"+os.Getenv("PATH"))
	bin := t.TempDir()
	shimctl := filepath.Join(bin, "shimctl")
	if output, err := exec.Command("go", "build", "-o", shimctl, ".").CombinedOutput(); err != nil {
		t.Fatalf("build shimctl: %v\n%s", err, output)
	}
	rootfs := makeRootfs(t)
	found := map[string]*fixture{}
	add := func(name, shim string, legacy bool) {
		if _, err := os.Stat(shim); err != nil {
			t.Logf("NOT TESTED: %s: %v", name, err)
			return
		}
		root, err := os.MkdirTemp("/tmp", "wisp")
		must(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(root) })
		found[name] = &fixture{
			shimctl: shimctl, shim: shim, legacy: legacy, rootfs: rootfs, root: root, namespace: "test" + filepath.Base(root),
			clean: !strings.HasPrefix(name, "reference"),
		}
	}
	add("reference24", filepath.Join(repo, ".cache/bin/containerd-shim-runc-v2"), false)
	add("reference16", "/usr/bin/containerd-shim-runc-v2", true)
	wisp := os.Getenv("WISP_SHIM")
	if wisp == "" {
		wisp = filepath.Join(bin, shimName)
		if output, err := exec.Command("go", "build", "-o", wisp, "../shim").CombinedOutput(); err != nil {
			t.Errorf("build our shim: %v\n%s", err, output)
			return found
		}
	}
	t.Setenv("WISP_SHIM", "")
	add("wisp", wisp, false)
	return found
}

// makeRootfs makes a root file system of busybox alone.
func makeRootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	busybox, err := os.ReadFile("/bin/busybox")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("not a program"), 0o644))
	for _, name := range []string{"sh", "cat", "sleep", "stty", "id", "pwd", "hostname", "true", "yes", "head", "printf"} {
		must(t, os.Symlink("busybox", filepath.Join(dir, "bin", name)))
	}
	return dir
}

// result is how a shimctl ended.
type result struct {
	code           int
	stdout, stderr string
}

// command makes a `shimctl run` of what is given after the flags of the fixture.
func (f *fixture) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	flags := []string{"run", "--root", f.root, "--namespace", f.namespace, "--shim", f.shim}
	if f.legacy {
		flags = append(flags, "--legacy")
	}
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, f.shimctl, append(flags, args...)...)
}

// run runs to the end, with nothing on standard input, and checks that nothing is left behind.
func (f *fixture) run(t *testing.T, args ...string) result {
	t.Helper()
	return f.finish(t, f.command(t, args...))
}

// finish runs a command to its end and checks that nothing is left behind.
func (f *fixture) finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	must(t, cmd.Start())
	code := f.wait(t, cmd)
	return result{code, stdout.String(), stderr.String()}
}

// wait waits for a started command and checks that nothing is left behind.
func (f *fixture) wait(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	f.checkNothingLeft(t)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		t.Errorf("shimctl was ended by signal %v", status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// checkNothingLeft wants no file, process, mount or socket of this root and namespace.
func (f *fixture) checkNothingLeft(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(f.root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (!entry.IsDir() || path == filepath.Join(f.root, f.namespace)) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	must(t, err)
	for _, name := range []string{"/proc/self/mountinfo", "/proc/net/unix"} {
		data, err := os.ReadFile(name)
		must(t, err)
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, f.root+"/") {
				t.Errorf("left behind in %s: %s", name, line)
			}
		}
	}
	for _, left := range f.processes(t) {
		t.Errorf("left behind: process %s", left)
	}
}

// processes lists those that name the root on their command line or are in a cgroup of the namespace, zombies excepted.
func (f *fixture) processes(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	var found []string
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // empty for a zombie; gone meanwhile: likewise
		cgroups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		if len(line) > 0 && (strings.Contains(string(line), f.root) || strings.Contains(string(cgroups), "/wisp/"+f.namespace+"/")) {
			found = append(found, fmt.Sprintf("%s: %q", filepath.Base(dir), line))
		}
	}
	return found
}

// socket is where the shim of an id has its socket, by containerd's formula.
func (f *fixture) socket(id string) string {
	sum := sha256.Sum256([]byte(filepath.Join(f.root, "shimctl.sock", f.namespace, id)))
	dir := filepath.Join(f.root, ".s")
	if f.legacy {
		dir = "/run/containerd/s"
	}
	return filepath.Join(dir, hex.EncodeToString(sum[:]))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}
