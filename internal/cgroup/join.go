package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// joinTries bounds how often a process is moved that is changing its own cgroup or credentials at that moment.
const joinTries = 5

// Join moves a process into an existing cgroup, which is named from the root of the hierarchy, such as "/system/shims": on v2 that directory, on v1 the
// one at that path in each controller that has it. It is what the option shim_cgroup asks for. A path that does not exist is an error that names
// it and wraps fs.ErrNotExist.
func Join(path string, pid int) error {
	s := host()
	return s.join(path, pid, s.unified())
}

func (s system) join(path string, pid int, v2 bool) error {
	clean := filepath.Clean("/" + path)
	if path == "" || clean == "/" || strings.HasPrefix(clean, s.cgroups+"/") {
		return fmt.Errorf("load cgroup %q: not a path below the root of a cgroup hierarchy: %w", path, fs.ErrInvalid)
	}
	dirs := []string{s.dir("", clean)}
	if !v2 {
		own, err := s.entries("self")
		if err != nil {
			return fmt.Errorf("load cgroup %q: list controllers: %w", path, err)
		}
		dirs = s.dirs1(own, clean)
	}
	joined := false
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if err := move(dir, pid); err != nil {
			return fmt.Errorf("join cgroup %q: %w", path, err)
		}
		joined = true
	}
	if !joined {
		return fmt.Errorf("load cgroup %q: %w", path, fs.ErrNotExist)
	}
	return nil
}

// dirs1 are the directories of path in the v1 hierarchies that the machine has.
func (s system) dirs1(hierarchies []entry, path string) []string {
	var dirs []string
	for _, h := range hierarchies {
		if h.controllers == "" {
			continue
		}
		first, _, _ := strings.Cut(h.controllers, ",")
		for _, mount := range []string{h.controllers, first} {
			if dir := s.dir(strings.TrimPrefix(mount, "name="), path); dir != "" {
				dirs = append(dirs, dir)
				break
			}
		}
	}
	return dirs
}

// move writes to cgroup.procs. EINVAL is what a process answers that is not quite born or on its way out.
func move(dir string, pid int) error {
	var err error
	for range joinTries {
		err = put(dir, "cgroup.procs", strconv.Itoa(pid))
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return err
}
