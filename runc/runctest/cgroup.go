package runctest

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A container has cgroups of its own in every hierarchy, as with runc. That is no
// luxury: code under test that kills, freezes or reads its container's cgroup
// would else do so to the test's own, and to the whole session.

const cgroupRoot = "/sys/fs/cgroup"

// freezers are the files that freeze a cgroup, and what they hold for it: v1, v2.
func freezers(path string) [][3]string {
	return [][3]string{
		{filepath.Join(cgroupRoot, "freezer", path, "freezer.state"), "FROZEN", "THAWED"},
		{filepath.Join(cgroupRoot, path, "cgroup.freeze"), "1", "0"},
	}
}

// hierarchies are the mount points of all cgroup hierarchies that this process is in.
func hierarchies() ([]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		dir := filepath.Join(cgroupRoot, strings.TrimPrefix(parts[1], "name="))
		if parts[1] == "" {
			if _, err := os.Stat(filepath.Join(cgroupRoot, "unified")); err == nil {
				dir = filepath.Join(cgroupRoot, "unified")
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			found = append(found, dir)
		}
	}
	return found, nil
}

// ownCgroup is the cgroup of a container whose bundle names none. Test binaries run
// side by side with the same ids, but not with the same root. It has no parent that would
// be left behind.
func (f *fake) ownCgroup() string {
	return fmt.Sprintf("/wisp-fake-%08x-%s", crc32.ChecksumIEEE([]byte(f.root)), f.id)
}

// cleanCgroup checks a linux.cgroupsPath. "slice:prefix:name" is systemd's form.
func cleanCgroup(path string) (string, error) {
	clean := filepath.Clean("/" + strings.ReplaceAll(path, ":", "/"))
	if clean == "/" {
		return "", fmt.Errorf("cgroupsPath %q is the root, which is everybody's", path)
	}
	return clean, nil
}

// joinCgroups moves a process into the cgroup, which it makes.
func joinCgroups(path string, pid int) error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	value := strconv.AppendInt(nil, int64(pid), 10)
	for _, mount := range mounts {
		dir := mount
		for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			dir = filepath.Join(dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			if err := inheritCpuset(dir); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), value, 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// inheritCpuset fills a new v1 cpuset, which takes no process while it is empty.
func inheritCpuset(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil // not a cpuset
		}
		if err != nil || strings.TrimSpace(string(have)) != "" {
			return err
		}
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err == nil && strings.TrimSpace(string(value)) != "" {
			err = os.WriteFile(filepath.Join(dir, name), value, 0)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// members are the pids in the cgroup, without this process.
func members(path string) ([]int, error) {
	mounts, err := hierarchies()
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(mounts[0], path, "cgroup.procs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func signalAll(path string, sig syscall.Signal) error {
	pids, err := members(path)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// removeCgroups kills what is in the cgroup and removes it. Parents stay: others
// use them.
func removeCgroups(path string) error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	_ = setFrozen(path, false) // it may be gone already
	deadline := time.Now().Add(dieTimeout)
	for {
		if err := signalAll(path, syscall.SIGKILL); err != nil {
			return err
		}
		mounts = slices.DeleteFunc(mounts, func(mount string) bool {
			err = syscall.Rmdir(filepath.Join(mount, path))
			return err == nil || errors.Is(err, syscall.ENOENT)
		})
		if len(mounts) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", path, err)
		}
		time.Sleep(pollInterval)
	}
}

func frozen(path string) bool {
	for _, f := range freezers(path) {
		if data, err := os.ReadFile(f[0]); err == nil && strings.TrimSpace(string(data)) != f[2] {
			return true
		}
	}
	return false
}

func setFrozen(path string, on bool) error {
	for _, f := range freezers(path) {
		value := f[2]
		if on {
			value = f[1]
		}
		err := os.WriteFile(f[0], []byte(value), 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
