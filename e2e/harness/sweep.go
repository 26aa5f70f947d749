package harness

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sweep removes by force what a failed case left: its processes, its mounts, its directories.
func (d *Daemon) sweep(t testing.TB, id string) {
	t.Helper()
	pids := d.Shims(id)
	for _, dir := range d.cgroups(id) {
		pids = append(pids, cgroupPids(dir)...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, m := range slices.Backward(mountsUnder(d.dir)) {
		if id == "" || slices.Contains(strings.Split(m, "/"), id) {
			_ = unix.Unmount(m, unix.MNT_DETACH)
		}
	}
	for _, p := range []string{d.Socket(id), filepath.Join(runcRoot, d.Namespace, id)} {
		_ = os.RemoveAll(p)
	}
	d.removeCgroups(t, id)
}

// removeCgroups removes empty cgroups; a process that was killed needs a moment to leave its own.
func (d *Daemon) removeCgroups(t testing.TB, id string) {
	t.Helper()
	deadline := time.Now().Add(goneTimeout)
	for _, dir := range d.cgroups(id) {
		for {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("remove cgroup: %v", err)
				break
			}
			time.Sleep(pollInterval)
		}
	}
}

// remove ends the daemon and removes its directories, whatever the tests left in them.
func (d *Daemon) remove(t testing.TB) {
	t.Helper()
	if t.Failed() {
		t.Log(d.logTail())
	}
	if d.Client != nil {
		_ = d.Client.Close()
	}
	if d.cmd != nil {
		d.Kill(t)
	}
	d.sweep(t, "")
	if err := os.RemoveAll(d.dir); err != nil {
		t.Errorf("remove the daemon's directory: %v", err)
	}
}
