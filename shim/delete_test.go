package shim

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// deleteOK runs delete and returns what it answered and what it warned of.
func deleteOK(t *testing.T, k *task) (*protos.DeleteResponse, string) {
	t.Helper()
	stdout, stderr, code := k.shim(t, nil, "-bundle", k.dir, "delete")
	var r protos.DeleteResponse
	if err := proto.Unmarshal([]byte(stdout), &r); err != nil || code != 0 {
		t.Fatalf("delete ends with %d, %q, %v", code, stderr, err)
	}
	return &r, stderr
}

func TestDeleteReportsTheRecordedExit(t *testing.T) {
	k := newTestTask(t, testSpec)
	at := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := bundle.Dir(k.dir).WriteExit(bundle.Exit{Pid: 4242, Status: 7, ExitedAt: at}); err != nil {
		t.Fatal(err)
	}
	r, warnings := deleteOK(t, k)
	if r.Pid != 4242 || r.ExitStatus != 7 || !r.ExitedAt.AsTime().Equal(at) || warnings != "" {
		t.Errorf("answer is %v, warnings %q", r, warnings)
	}
}

func TestDeleteOfATaskOfWhichNothingIsKnownSaysKilledNow(t *testing.T) {
	k := newTestTask(t, testSpec)
	began := time.Now()
	r, warnings := deleteOK(t, k)
	if at := r.ExitedAt.AsTime(); r.ExitStatus != statusKilled || at.Before(began) || at.After(time.Now()) || r.Pid != 0 || warnings != "" {
		t.Errorf("answer is %v, warnings %q", r, warnings)
	}
}

func TestDeleteFindsTheBundleByIdFromItsNeighbours(t *testing.T) {
	k := newTestTask(t, testSpec)
	if err := bundle.Dir(k.dir).WriteExit(bundle.Exit{Status: 3}); err != nil {
		t.Fatal(err)
	}
	neighbour := filepath.Join(filepath.Dir(k.dir), "neighbour")
	if err := os.Mkdir(neighbour, 0o700); err != nil {
		t.Fatal(err)
	}
	k.dir = neighbour
	if r, _ := deleteOK(t, k); r.ExitStatus != 3 {
		t.Errorf("answer is %v", r)
	}
}

func TestDeleteUnlinksTheSocketOfADeadShim(t *testing.T) {
	k := newTestTask(t, testSpec)
	address := startOK(t, k, nil)
	kill(t, int(connect(t, address).ShimPid))
	_, warnings := deleteOK(t, k)
	if _, err := os.Lstat(strings.TrimPrefix(address, "unix://")); err == nil || warnings != "" {
		t.Errorf("the socket stays, warnings %q", warnings)
	}
}

func TestDeleteSendsAwayAShimThatItsDaemonHasLost(t *testing.T) {
	k := newTestTask(t, testSpec)
	address := startOK(t, k, nil)
	pidfd, err := unix.PidfdOpen(int(connect(t, address).ShimPid), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	_, warnings := deleteOK(t, k)
	awaitEnd(t, pidfd)
	if _, err := os.Lstat(strings.TrimPrefix(address, "unix://")); err == nil || warnings != "" {
		t.Errorf("the socket stays, warnings %q", warnings)
	}
}

func TestDeleteLeavesSocketsOfOthersAlone(t *testing.T) {
	k := newTestTask(t, testSpec)
	other := filepath.Join(t.TempDir(), "other.sock")
	f, err := listen(other)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := writeAddress(bundle.Dir(k.dir), "unix://"+other); err != nil {
		t.Fatal(err)
	}
	deleteOK(t, k)
	if _, err := os.Lstat(other); err != nil {
		t.Error(err)
	}
}

func TestDeleteUnmountsTheRootfs(t *testing.T) {
	k := newTestTask(t, testSpec)
	rootfs := filepath.Join(k.dir, bundle.RootfsDir)
	for _, dir := range []string{rootfs, filepath.Join(rootfs, "below")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			t.Skipf("mounting is not allowed here: %v", err)
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
	}
	if !mayHoldMounts(rootfs) {
		t.Fatal("mounts are overlooked")
	}
	_, warnings := deleteOK(t, k)
	if mayHoldMounts(rootfs) || warnings != "" {
		t.Errorf("rootfs is mounted, warnings %q", warnings)
	}
}

// container is a real one, made by runc without a shim: what a shim's death leaves.
type container struct {
	*task
	root string
	init int // pidfd
}

// runc is the runtime that `make deps` builds.
func runcBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../.cache/bin/runc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no runc: run `make deps`")
	}
	return path
}

// runContainer runs sh with script in a container that has a pid namespace of its own, or not.
func runContainer(t *testing.T, script string, sharedPID bool) *container {
	t.Helper()
	binary := runcBinary(t)
	k := newTestTask(t, "")
	c := &container{task: k, root: t.TempDir()}
	rootfs := filepath.Join(k.dir, bundle.RootfsDir)
	if err := os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("no busybox")
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin", "sh"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	namespaces := []map[string]string{{"type": "mount"}}
	if !sharedPID {
		namespaces = append(namespaces, map[string]string{"type": "pid"})
	}
	spec, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.2",
		"root":       map[string]any{"path": "rootfs"},
		"process":    map[string]any{"args": []string{"/bin/sh", "-c", script}, "cwd": "/", "user": map[string]int{"uid": 0}},
		"mounts":     []map[string]any{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux":      map[string]any{"namespaces": namespaces, "cgroupsPath": "/" + k.id},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := bundle.Dir(k.dir)
	if err := os.WriteFile(dir.File(bundle.ConfigFile), spec, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--root", filepath.Join(c.root, "ns"), "run", "--detach", "--bundle", k.dir, "--pid-file", dir.File(bundle.InitPidFile), k.id}
	cmd := exec.Command(binary, args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("runc %q: %v", args, err)
	}
	t.Cleanup(func() {
		_ = exec.Command(binary, "--root", filepath.Join(c.root, "ns"), "delete", "--force", k.id).Run()
	})
	pid, err := bundle.ReadPid(dir.File(bundle.InitPidFile))
	if err != nil {
		t.Fatal(err)
	}
	if c.init, err = unix.PidfdOpen(pid, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.init) })
	c.options(t, binary)
	return c
}

// options writes what a shim's Create writes for delete.
func (c *container) options(t *testing.T, binary string) {
	t.Helper()
	dir := bundle.Dir(c.dir)
	if err := dir.WriteOptions(bundle.Options{BinaryName: binary, Root: c.root}); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteRuntime(binary); err != nil {
		t.Fatal(err)
	}
}

func (c *container) wantGone(t *testing.T, paths []string) {
	t.Helper()
	awaitEnd(t, c.init)
	if len(paths) == 0 {
		t.Error("the container's cgroups are not known")
	}
	if pids := processesIn(paths); len(pids) != 0 {
		t.Errorf("processes %v live", pids)
	}
}

func (c *container) state() string { return filepath.Join(c.root, "ns", c.id) }

func TestAfterDeleteNoProcessOfTheContainerLives(t *testing.T) {
	for name, shared := range map[string]bool{"own pid namespace": false, "shared pid namespace": true} {
		t.Run(name, func(t *testing.T) {
			c := runContainer(t, "sleep 1000 & sleep 1000", shared)
			paths := cgroupPaths(c.state())
			pid, _ := bundle.ReadPid(filepath.Join(c.dir, bundle.InitPidFile))
			r, warnings := deleteOK(t, c.task)
			if r.ExitStatus != statusKilled || int(r.Pid) != pid || warnings != "" {
				t.Errorf("answer is %v, warnings %q", r, warnings)
			}
			c.wantGone(t, paths)
			if _, err := os.Stat(c.state()); err == nil {
				t.Error("the runtime's state is still there")
			}
		})
	}
}

func TestDeleteKillsWhatAnInitWithoutAPidNamespaceHasLeft(t *testing.T) {
	c := runContainer(t, "sleep 1000 & exit 0", true)
	awaitEnd(t, c.init)
	paths := cgroupPaths(c.state())
	if pids := processesIn(paths); len(pids) == 0 {
		t.Fatal("nothing is left to kill")
	}
	deleteOK(t, c.task)
	c.wantGone(t, paths)
}

func TestDeleteKillsTheContainerEvenWithoutARuntime(t *testing.T) {
	c := runContainer(t, "sleep 1000 & sleep 1000", true)
	paths := cgroupPaths(c.state())
	c.options(t, "/nonexistent/runtime")
	r, warnings := deleteOK(t, c.task)
	if r.ExitStatus != statusKilled || !strings.Contains(warnings, "/nonexistent/runtime") {
		t.Errorf("answer is %v, warnings %q", r, warnings)
	}
	c.wantGone(t, paths)
}

func TestACgroupThatHoldsOthersIsLeftAlone(t *testing.T) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		dir := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(fields[1], "name="), fields[2])
		if len(processesIn([]string{dir})) == 0 {
			continue
		}
		if err := killLeft(t.Context(), []string{dir}); !errors.Is(err, errCgroupShared) { // it would have killed this test
			t.Errorf("%s: %v", dir, err)
		}
	}
}
