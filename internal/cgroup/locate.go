package cgroup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// deleted is what the kernel appends to the path of a v2 cgroup that has been removed below a zombie.
const deleted = " (deleted)"

// system is where the kernel's files are. Tests put fixtures in their place.
type system struct{ cgroups, proc, sys string }

func host() system { return system{cgroups: "/sys/fs/cgroup", proc: "/proc", sys: "/sys"} }

// unified tells whether the machine runs cgroup v2 alone. A hybrid one, with v2 in a subdirectory and without controllers, is v1.
func (s system) unified() bool { return fileSystem(s.cgroups) == unix.CGROUP2_SUPER_MAGIC }

func fileSystem(path string) int64 {
	var st unix.Statfs_t
	for {
		switch err := unix.Statfs(path, &st); err {
		case nil:
			return int64(st.Type)
		case unix.EINTR:
		default:
			return 0
		}
	}
}

func (s system) load(pid int, v2 bool) (*Cgroup, error) {
	entries, err := s.entries(strconv.Itoa(pid))
	if err != nil {
		return nil, fmt.Errorf("load cgroup of process %d: %w", pid, err)
	}
	c := &Cgroup{v2: v2, sys: s}
	find := c.locate1
	if v2 {
		find = c.locate2
	}
	if !find(entries) {
		return nil, fmt.Errorf("load cgroup of process %d: it has none of its own: %w", pid, fs.ErrNotExist)
	}
	c.prepare()
	return c, nil
}

// entry is a line of /proc/PID/cgroup: "4:cpu,cpuacct:/path", or "0::/path" for v2.
type entry struct{ controllers, path string }

// entries reads /proc/ID/cgroup. The error is fs.ErrNotExist when there is no such process.
func (s system) entries(id string) ([]entry, error) {
	data, err := os.ReadFile(filepath.Join(s.proc, id, "cgroup"))
	if err != nil {
		if isGone(err) {
			err = fs.ErrNotExist
		}
		return nil, err
	}
	var entries []entry
	for line := range strings.Lines(string(data)) {
		_, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		names, path, ok := strings.Cut(rest, ":")
		if ok {
			entries = append(entries, entry{names, strings.TrimSuffix(path, deleted)})
		}
	}
	return entries, nil
}

// lists tells whether the entry is the controller's hierarchy.
func (e entry) lists(name string) bool {
	for n := range strings.SplitSeq(e.controllers, ",") {
		if n == name {
			return true
		}
	}
	return false
}

func (c *Cgroup) locate2(entries []entry) bool {
	for _, e := range entries {
		if e.controllers != "" {
			continue
		}
		if dir := c.sys.dir("", e.path); dir != "" {
			c.dirs[0] = dir
			return true
		}
	}
	return false
}

// locate1 looks at the conventional places first: /proc/self/mountinfo is as long as the machine has mounts, and grows with the containers.
func (c *Cgroup) locate1(entries []entry) bool {
	found, missing := false, false
	for ctrl := range controllers {
		for _, e := range entries {
			if !e.lists(ctrl.String()) || e.path == "/" {
				continue
			}
			if dir := c.sys.dir1(ctrl, e); dir != "" {
				c.dirs[ctrl], found = dir, true
			} else {
				missing = true
			}
		}
	}
	if missing {
		found = c.locateByMounts(entries) || found
	}
	return found
}

// dir1 tries DIR/cpu,cpuacct/PATH and DIR/cpu/PATH.
func (s system) dir1(ctrl controller, e entry) string {
	for _, mount := range []string{e.controllers, ctrl.String()} {
		if dir := s.dir(strings.TrimPrefix(mount, "name="), e.path); dir != "" {
			return dir
		}
	}
	return ""
}

// dir is the directory of the cgroup at path in the hierarchy that is mounted at mount, or "" if there is none. The root of a hierarchy counts as none:
// it holds all the machine's processes. "/../x" is what a cgroup namespace shows for what is outside it.
func (s system) dir(mount, path string) string {
	if strings.HasPrefix(path, "/..") || !strings.HasPrefix(path, "/") {
		return ""
	}
	if path = filepath.Clean(path); path == "/" {
		return ""
	}
	dir := filepath.Join(s.cgroups, mount) + path
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return ""
	}
	return dir
}

// locateByMounts serves what is mounted elsewhere, and a container in which the host's hierarchy is mounted from the container's own cgroup on: there
// /proc/PID/cgroup tells the host's path, and the mount's root is to be taken off it.
func (c *Cgroup) locateByMounts(entries []entry) bool {
	f, err := os.Open(filepath.Join(c.sys.proc, "self/mountinfo"))
	if err != nil {
		return false
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		return false
	}
	found := false
	for ctrl := range controllers {
		for _, e := range entries {
			if c.dirs[ctrl] != "" || !e.lists(ctrl.String()) {
				continue
			}
			for _, m := range mounts {
				if dir := below(m, ctrl, e.path); dir != "" {
					c.dirs[ctrl], found = dir, true
					break
				}
			}
		}
	}
	return found
}

// below is the directory of the cgroup at path under the mount m, or "" if it is another controller's mount or does not show that cgroup.
func below(m *mountinfo.Info, ctrl controller, path string) string {
	if !(entry{controllers: m.VFSOptions}).lists(ctrl.String()) {
		return ""
	}
	rel, err := filepath.Rel(m.Root, path)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return ""
	}
	dir := filepath.Join(m.Mountpoint, rel)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return ""
	}
	return dir
}
