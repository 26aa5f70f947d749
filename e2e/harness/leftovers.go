package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cleanupTimeout = 30 * time.Second // removing what a case made
	goneTimeout    = 10 * time.Second // a shim leaves a moment after its task was deleted

	socketDir = "/run/containerd/s"
	runcRoot  = "/run/containerd/runc"
	cgroupDir = "/sys/fs/cgroup"
	bundleDir = "io.containerd.runtime.v2.task"
)

// Bundle returns the bundle directory of a container's task.
func (d *Daemon) Bundle(id string) string {
	return filepath.Join(d.dir, "state", bundleDir, d.Namespace, id)
}

// Socket returns the path of a shim's socket, by the formula that containerd's own tools recompute.
func (d *Daemon) Socket(id string) string {
	sum := sha256.Sum256([]byte(filepath.Join(d.Address, d.Namespace, id)))
	return filepath.Join(socketDir, hex.EncodeToString(sum[:]))
}

// waitGone waits until nothing of the container is left, and returns what is left at the end of its patience.
func (d *Daemon) waitGone(ctx context.Context, id string) []string {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	for {
		left := d.leftovers(id)
		if len(left) == 0 || ctx.Err() != nil {
			return left
		}
		time.Sleep(pollInterval)
	}
}

// leftovers lists what is on the machine of a container's task: directories, socket, mounts, shims,
// other processes in its cgroups.
func (d *Daemon) leftovers(id string) []string {
	var left []string
	for _, p := range []string{
		d.Bundle(id), filepath.Join(d.dir, "root", bundleDir, d.Namespace, id),
		d.Socket(id), filepath.Join(runcRoot, d.Namespace, id),
	} {
		if _, err := os.Lstat(p); err == nil {
			left = append(left, p)
		}
	}
	for _, dir := range d.cgroups(id) {
		left = append(left, fmt.Sprintf("%s with processes %v", dir, cgroupPids(dir)))
	}
	for _, m := range mountsUnder(d.dir) {
		if slices.Contains(strings.Split(m, "/"), id) {
			left = append(left, "mount "+m)
		}
	}
	for _, pid := range d.Shims(id) {
		left = append(left, fmt.Sprintf("shim %d", pid))
	}
	return left
}

// Shims returns the processes that carry the daemon's address and the container's id on their command
// line: the server, and a start, a delete or a runc on its way. An empty id stands for every container.
func (d *Daemon) Shims(id string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range dirs {
		b, _ := os.ReadFile(file) // a process may leave meanwhile
		args := strings.Split(string(b), "\x00")
		if slices.Contains(args, d.Address) && slices.Contains(args, "-namespace") && (id == "" || slices.Contains(args, id)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// cgroups returns the cgroup directories of a container, or with an empty id the namespace's own.
func (d *Daemon) cgroups(id string) []string {
	v1, _ := filepath.Glob(filepath.Join(cgroupDir, "*", d.Namespace, id))
	v2, _ := filepath.Glob(filepath.Join(cgroupDir, d.Namespace, id))
	return append(v1, v2...)
}

func cgroupPids(dir string) []int {
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	var pids []int
	for s := range strings.FieldsSeq(string(b)) {
		pid, _ := strconv.Atoi(s)
		pids = append(pids, pid)
	}
	return pids
}

// mountsUnder returns the mount points below dir, deepest last.
func mountsUnder(dir string) []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var found []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			found = append(found, f[4])
		}
	}
	slices.Sort(found)
	return found
}
