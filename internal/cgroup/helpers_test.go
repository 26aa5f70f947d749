package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// unifiedMount is where a hybrid machine shows cgroup v2: its core files work there, without controllers.
const unifiedMount = "/sys/fs/cgroup/unified"

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes cgroups")
	}
}

// makeV1 makes a cgroup of the same name in every v1 hierarchy that the package uses, and removes them, with all that lives there, at the end.
func makeV1(t testing.TB) (name string) {
	t.Helper()
	needRoot(t)
	if fileSystem("/sys/fs/cgroup") == unix.CGROUP2_SUPER_MAGIC {
		t.Skip("needs cgroup v1")
	}
	name = "wisp-test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	made := false
	for ctrl := range controllers {
		mount := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(ctrl.String(), "name="))
		if fileSystem(mount) == unix.CGROUP_SUPER_MAGIC {
			makeDir(t, filepath.Join(mount, name))
			made = true
		}
	}
	if !made {
		t.Skip("needs cgroup v1")
	}
	return name
}

// makeV2 makes a cgroup in the v2 hierarchy of a v2 or hybrid machine.
func makeV2(t *testing.T) (s system, name string) {
	t.Helper()
	needRoot(t)
	s = host()
	if !s.unified() {
		s.cgroups = unifiedMount
	}
	if !s.unified() {
		t.Skip("needs a mount of cgroup v2")
	}
	name = "wisp-test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	makeDir(t, filepath.Join(s.cgroups, name))
	return s, name
}

func makeDir(t testing.TB, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeDir(t, dir) })
}

// removeDir waits for the dead to be gone: until then the kernel says EBUSY.
func removeDir(t testing.TB, dir string) {
	subdirs, _ := os.ReadDir(dir)
	for _, d := range subdirs {
		if d.IsDir() {
			removeDir(t, filepath.Join(dir, d.Name()))
		}
	}
	var err error
	if !until(func() bool { err = os.Remove(dir); return err == nil || errors.Is(err, fs.ErrNotExist) }) {
		t.Errorf("remove cgroup: %v", err)
	}
}

// until polls for a condition, and gives up after patience.
func until(done func() bool) bool {
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// child is a process that was put into cgroups before it ran its script.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
}

// spawn runs script with sh once its process is in the cgroups at dirs. It is killed and reaped at the end of the test.
func spawn(t *testing.T, script string, dirs ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command("/bin/sh", "-c", "read go; "+script)}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	for _, dir := range dirs {
		if err := put(dir, "cgroup.procs", strconv.Itoa(c.pid())); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	return c
}

// spawnV1 is spawn in the cgroup that makeV1 has made.
func spawnV1(t *testing.T, script, name string) *child {
	t.Helper()
	dirs := host().dirs1(ownHierarchies(t), "/"+name)
	return spawn(t, script, dirs...)
}

func ownHierarchies(t testing.TB) []entry {
	t.Helper()
	own, err := host().entries("self")
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// line is the next line that the script prints.
func (c *child) line() string {
	c.t.Helper()
	text, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read the child's output: %v", err)
	}
	return strings.TrimSpace(text)
}

// wait returns how the child ended.
func (c *child) wait() syscall.WaitStatus {
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func (c *child) end() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// load is Load, or dies.
func load(t *testing.T, s system, pid int, v2 bool) *Cgroup {
	t.Helper()
	c, err := s.load(pid, v2)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// loadAndClear is load; at the end of the test all that is in the cgroup is killed, frozen or not, before the child is waited for.
func loadAndClear(t *testing.T, s system, pid int, v2 bool) *Cgroup {
	t.Helper()
	c := load(t, s, pid, v2)
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func mustPids(t *testing.T, c *Cgroup) []int {
	t.Helper()
	found, err := c.Pids()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// patient is a context that ends long after what it is for should have.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// each runs a test on a cgroup of either version, with a way to start a script in it.
func each(t *testing.T, test func(t *testing.T, start func(script string) (*Cgroup, *child))) {
	t.Run("v1", func(t *testing.T) {
		name := makeV1(t)
		test(t, func(script string) (*Cgroup, *child) {
			c := spawnV1(t, script, name)
			return loadAndClear(t, host(), c.pid(), false), c
		})
	})
	t.Run("v2", func(t *testing.T) {
		s, name := makeV2(t)
		test(t, func(script string) (*Cgroup, *child) {
			c := spawn(t, script, filepath.Join(s.cgroups, name))
			return loadAndClear(t, s, c.pid(), true), c
		})
	})
}

// state is the letter of a process's state in /proc/PID/stat, "" when it is gone.
func state(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	letter, _, _ := strings.Cut(rest, " ")
	return letter
}

// TestMain checks that the tests leave no file open.
func TestMain(m *testing.M) {
	const poller = 2 // the Go runtime's own, from its first use on
	before := openFiles()
	code := m.Run()
	if after := openFiles(); code == 0 && after > before+poller {
		fmt.Fprintf(os.Stderr, "%d files were open before the tests, %d after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

func openFiles() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// inotifyOf watches one file as inotify does.
func inotifyOf(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY|unix.IN_DELETE_SELF); err != nil {
		t.Fatal(err)
	}
	return fd
}
