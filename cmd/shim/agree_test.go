package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// What the shim says without asking the runtime is what the runtime says: pids, and the state around pause and resume.
func TestShimAndRuntimeAgree(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "sleep 1000 & sleep 1000 & wait").start()
	r.run()
	r.exec("e", "", "sleep", "1000")
	soon(t, "all run", func() bool { return r.count("sleep 1000") == 3 })
	var runtime []int
	must(t, json.Unmarshal(r.runc("ps", "--format", "json", r.config.ID), &runtime))
	slices.Sort(runtime)
	if shim := slices.Sorted(maps.Keys(r.members())); !slices.Equal(shim, runtime) {
		t.Errorf("the shim says %v, the runtime %v", shim, runtime)
	}
	agree := func(want protos.Status, word string) {
		t.Helper()
		var state struct{ Status string }
		must(t, json.Unmarshal(r.runc("state", r.config.ID), &state))
		if is := r.state("").GetStatus(); is != want || state.Status != word {
			t.Errorf("the shim says %v, the runtime %q; want %v, %q", is, state.Status, want, word)
		}
	}
	agree(protos.Status_RUNNING, "running")
	_, err := r.shim.Task.Pause(r.ctx, &protos.PauseRequest{Id: r.config.ID})
	must(t, err)
	agree(protos.Status_PAUSED, "paused")
	_, err = r.shim.Task.Resume(r.ctx, &protos.ResumeRequest{Id: r.config.ID})
	must(t, err)
	agree(protos.Status_RUNNING, "running")
	r.kill("", unix.SIGKILL, false)
	r.wait("")
	agree(protos.Status_STOPPED, "stopped")
	r.delete("")
}

// Field report F38: the container's processes hold their three streams and nothing of the shim's.
func TestContainersHoldThreeDescriptors(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	pids := []int{r.run(), r.exec("e", "", "sleep", "1000")}
	for _, pid := range pids {
		soon(t, "the command runs", func() bool {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return string(name) == "sleep\n"
		})
		if fds := descriptors(t, pid); !slices.Equal(slices.Sorted(maps.Keys(fds)), []string{"0", "1", "2"}) {
			t.Errorf("process %d holds %v", pid, fds)
		}
	}
	r.finish()
}

// descriptors lists what a process has open.
func descriptors(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	must(t, err)
	open := map[string]string{}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			open[e.Name()] = target
		}
	}
	return open
}

// The root file system of the request is mounted for the container and gone after Delete: bind, and overlay.
func TestRootfsFromTheRequest(t *testing.T) {
	for _, kind := range []string{"bind", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, nil, "sh", "-c", "echo made >/tmp/wisp-test-file; exec sleep 1000")
			tmpfs := filepath.Join(r.dir, "t") // an overlay's upper directory may not be on an overlay
			must(t, os.Mkdir(tmpfs, 0o700))
			must(t, unix.Mount("tmpfs", tmpfs, "tmpfs", 0, ""))
			defer func() { must(t, unix.Unmount(tmpfs, unix.MNT_DETACH)) }()
			for _, name := range []string{"upper", "work"} {
				must(t, os.Mkdir(filepath.Join(tmpfs, name), 0o755))
			}
			spec := *r.spec
			spec.Root.Path = "rootfs"
			must(t, launch.WriteSpec(r.config.Bundle, &spec))
			mount := &protos.Mount{Type: "bind", Source: binaries().rootfs, Options: []string{"rbind", "ro"}}
			if kind == "overlay" {
				mount = &protos.Mount{Type: "overlay", Source: "overlay", Options: []string{
					"lowerdir=" + binaries().rootfs, "upperdir=" + filepath.Join(tmpfs, "upper"), "workdir=" + filepath.Join(tmpfs, "work")}}
			}
			r.start()
			_, err := r.create(func(q *protos.CreateTaskRequest) { q.Rootfs = []*protos.Mount{mount} })
			must(t, err)
			rootfs := filepath.Join(r.config.Bundle, "rootfs")
			if !slices.Contains(r.mounts(), rootfs) {
				t.Errorf("mounts %q", r.mounts())
			}
			_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
			must(t, err)
			made := filepath.Join(tmpfs, "upper/tmp/wisp-test-file")
			if kind == "overlay" {
				soon(t, "the container has written to the overlay", func() bool { return exists(made) })
			}
			r.finish()
			if slices.Contains(r.mounts(), rootfs) {
				t.Errorf("mounts after Delete: %q", r.mounts())
			}
		})
	}
}

// Field report F39: a shim that the OOM killer spares must not spare its container with it, and one that it prefers must not doom it. What is
// testable without CAP_SYS_RESOURCE is the second: a shim's raised score is not the container's.
func TestContainerDoesNotInheritTheShimsOOMScore(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", r.process.Pid), []byte("50"), 0))
	pids := map[string]int{"init": r.run(), "exec": r.exec("e", "", "sleep", "1000")}
	for name, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		must(t, err)
		if score, _ := strconv.Atoi(strings.TrimSpace(string(data))); score != 0 {
			t.Errorf("%s has the score %d", name, score)
		}
	}
	r.finish()
}
