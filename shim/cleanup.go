package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/cgroup"
)

// killPoll is the pause between two looks at a cgroup whose processes were killed: SIGKILL takes effect in its own time.
const killPoll = 10 * time.Millisecond

// errCgroupShared is why processes are left alone: their cgroup is not the container's own.
var errCgroupShared = errors.New("cgroup is shared with processes of the system")

// cgroupPaths returns the container's cgroup directories from runc's state directory, nothing if it does not say.
func cgroupPaths(state string) []string {
	data, err := os.ReadFile(filepath.Join(state, "state.json"))
	if err != nil {
		return nil
	}
	var s struct {
		Paths map[string]string `json:"cgroup_paths"`
	}
	if json.Unmarshal(data, &s) != nil {
		return nil
	}
	var paths []string
	for _, path := range s.Paths {
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// killLeft kills what lives in the cgroups at paths after a runtime has failed to, and removes them.
func killLeft(ctx context.Context, paths []string) error {
	for {
		pids := processesIn(paths)
		if len(pids) == 0 {
			for _, path := range paths {
				_ = os.Remove(path) // as far as it is empty
			}
			return nil
		}
		if slices.Contains(pids, 1) || slices.Contains(pids, os.Getpid()) || slices.Contains(pids, os.Getppid()) {
			return fmt.Errorf("kill processes in %s: %w", strings.Join(paths, " "), errCgroupShared)
		}
		// A process that is in the cgroup now leads to it; one that has ended meanwhile is not there in the next round.
		if cg, err := cgroup.Load(pids[0]); err == nil {
			if err := cg.Kill(); err != nil {
				return fmt.Errorf("kill processes: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill processes: %d live on: %w", len(pids), ctx.Err())
		case <-time.After(killPoll):
		}
	}
}

// removeUnrecorded removes the cgroups of a create that was cut short by the death of its shim: the runtime makes them before it has a state that
// names them. Only empty ones go, and only where a Create began and no exit is recorded. What the runtime left in them dies of itself, with
// its parent; it is waited for.
func removeUnrecorded(ctx context.Context, dir bundle.Dir) error {
	if _, err := os.Stat(dir.File(bundle.OptionsFile)); err != nil {
		return nil
	}
	if _, err := dir.ReadExit(); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	for _, path := range specCgroups(dir) {
		for errors.Is(unix.Rmdir(path), unix.EBUSY) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("remove cgroup %s: it is in use", path)
			case <-time.After(killPoll):
			}
		}
	}
	return nil
}

// specCgroups returns where the cgroups that config.json names may be, in version 1 and 2. A path that is not absolute (systemd's slices, or none) is the
// runtime's to place, and not guessed.
func specCgroups(dir bundle.Dir) []string {
	spec, err := dir.ReadSpec()
	if err != nil || !filepath.IsAbs(spec.CgroupsPath) {
		return nil
	}
	const root = "/sys/fs/cgroup"
	paths := []string{filepath.Join(root, spec.CgroupsPath)}
	hierarchies, _ := os.ReadDir(root)
	for _, h := range hierarchies {
		paths = append(paths, filepath.Join(root, h.Name(), spec.CgroupsPath))
	}
	return paths
}

// processesIn returns the processes in the cgroups at paths and below them.
func processesIn(paths []string) []int {
	var pids []int
	for _, path := range paths {
		// What cannot be read, or goes away meanwhile, holds no process of ours.
		_ = filepath.WalkDir(path, func(dir string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// mayHoldMounts tells whether something may be mounted on or below dir. It is cheaper than reading the mount table, whose length is
// that of all containers together.
func mayHoldMounts(dir string) bool {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	var st unix.Statx_t
	err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	if err != nil || st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return true
	}
	_, err = f.Readdirnames(1)
	return !errors.Is(err, io.EOF)
}
