package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// container is a real one, made by runc, with a shell and a sleep in it.
type container struct {
	t              *testing.T
	runc, root, id string
	pid            int
	cgroup         *Cgroup
}

func (c *container) run(args ...string) (string, error) {
	cmd := exec.Command(c.runc, append([]string{"--root", c.root}, args...)...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("runc %s: %w: %s", args[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func (c *container) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// status is what runc takes the container's state to be.
func (c *container) status() string {
	c.t.Helper()
	var state struct{ Status string }
	if err := json.Unmarshal([]byte(c.must("state", c.id)), &state); err != nil {
		c.t.Fatal(err)
	}
	return state.Status
}

// ps is what runc takes the container's processes to be.
func (c *container) ps() []int {
	c.t.Helper()
	var list []int
	if err := json.Unmarshal([]byte(c.must("ps", "--format", "json", c.id)), &list); err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func findRunc(t *testing.T) string {
	t.Helper()
	built, err := filepath.Abs("../../.cache/bin/runc")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{built, "runc"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("needs runc: make deps")
	return ""
}

// bundle makes a bundle whose only program is busybox.
func bundle(t *testing.T, c *container) string {
	t.Helper()
	busybox, err := exec.LookPath("/bin/busybox")
	if err != nil {
		t.Skip("needs a static busybox")
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "rootfs/bin/busybox", string(program))
	if err := os.Chmod(filepath.Join(dir, "rootfs/bin/busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.must("spec", "--bundle", dir)
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	process, linux := spec["process"].(map[string]any), spec["linux"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"/bin/busybox", "sh", "-c", "/bin/busybox sleep 1000 & wait"}
	linux["cgroupsPath"] = "/wisp-test-runc/" + c.id
	if data, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "config.json", string(data))
	return dir
}

func startContainer(t *testing.T) *container {
	t.Helper()
	needRoot(t)
	// The container's init becomes this process's child when runc has gone, and is reaped here.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, runc: findRunc(t), root: t.TempDir(), id: fmt.Sprintf("c%d", os.Getpid())}
	dir := bundle(t, c)
	pidFile := filepath.Join(dir, "pid")
	run := exec.Command(c.runc, "--root", c.root, "run", "--detach", "--bundle", dir, "--pid-file", pidFile, c.id)
	if err := run.Run(); err != nil {
		t.Fatalf("runc run: %v", err)
	}
	t.Cleanup(c.remove)
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	c.pid = int(number(data))
	if c.cgroup, err = Load(c.pid); err != nil {
		t.Fatal(err)
	}
	if !until(func() bool { return len(mustPids(t, c.cgroup)) == 2 }) {
		t.Fatal("the container does not start its second process")
	}
	return c
}

func (c *container) remove() {
	_, _ = c.run("kill", c.id, "KILL")
	if c.pid > 0 {
		_, _ = unix.Wait4(c.pid, nil, 0, nil)
	}
	c.must("delete", "--force", c.id)
	for _, mount := range []string{"*", ""} { // what runc made on the way to the container's own
		parents, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", mount, "wisp-test-runc"))
		for _, dir := range parents {
			_ = os.Remove(dir)
		}
	}
}

func (c *container) wantStatus(want string) {
	c.t.Helper()
	if got := c.status(); got != want {
		c.t.Errorf("runc says %s, want %s", got, want)
	}
}

func TestRuncAgreesWithWhatIsDoneWithoutIt(t *testing.T) {
	c := startContainer(t)
	if got, want := mustPids(t, c.cgroup), c.ps(); !slices.Equal(got, want) {
		t.Errorf("pids %v, runc says %v", got, want)
	}
	for range 3 {
		if err := c.cgroup.Freeze(patient(t)); err != nil {
			t.Fatal(err)
		}
		c.wantStatus("paused")
		if err := c.cgroup.Thaw(patient(t)); err != nil {
			t.Fatal(err)
		}
		c.wantStatus("running")
	}
	c.must("pause", c.id)
	if frozen, err := c.cgroup.Frozen(); !frozen || err != nil {
		t.Errorf("runc has paused it, frozen is %v (%v)", frozen, err)
	}
	if err := c.cgroup.Thaw(patient(t)); err != nil {
		t.Fatal(err)
	}
	c.wantStatus("running")
	if err := c.cgroup.Freeze(patient(t)); err != nil {
		t.Fatal(err)
	}
	c.must("resume", c.id)
	if frozen, err := c.cgroup.Frozen(); frozen || err != nil {
		t.Errorf("runc has resumed it, frozen is %v (%v)", frozen, err)
	}
}

// Field report F49: what is paused dies, and runc takes it for stopped.
func TestRuncAgreesThatAKilledContainerIsStopped(t *testing.T) {
	c := startContainer(t)
	c.must("pause", c.id)
	if err := c.cgroup.Kill(); err != nil {
		t.Fatal(err)
	}
	if !until(func() bool { return c.status() == "stopped" }) {
		t.Errorf("runc says %s", c.status())
	}
	if left := mustPids(t, c.cgroup); len(left) != 0 {
		t.Errorf("%v live on", left)
	}
	if _, _, err := c.cgroup.Stats(); err != nil {
		t.Errorf("statistics of a stopped container: %v", err)
	}
}
