package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func fixture(t *testing.T, lines string, dirs ...string) system {
	t.Helper()
	s := system{cgroups: t.TempDir(), proc: t.TempDir(), sys: t.TempDir()}
	write(t, s.proc, "7/cgroup", lines)
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(s.cgroups, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func checkDirs(t *testing.T, s system, want map[controller]string) {
	t.Helper()
	c := load(t, s, 7, false)
	for ctrl := range controllers {
		expected := ""
		if rel, ok := want[ctrl]; ok {
			expected = filepath.Join(s.cgroups, rel)
		}
		if c.dirs[ctrl] != expected {
			t.Errorf("%s: %q, want %q", ctrl, c.dirs[ctrl], expected)
		}
	}
}

func TestControllersThatShareAHierarchyAreFoundUnderEitherName(t *testing.T) {
	s := fixture(t, "3:cpu,cpuacct:/a\n2:memory:/a\n1:name=systemd:/a/b\n0::/a\n", "cpu,cpuacct/a", "memory/a", "systemd/a/b")
	want := map[controller]string{cpu: "cpu,cpuacct/a", cpuacct: "cpu,cpuacct/a", memory: "memory/a", systemd: "systemd/a/b"}
	checkDirs(t, s, want)
	s = fixture(t, "3:cpu,cpuacct:/a\n", "cpuacct,cpu/a")
	for _, link := range []string{"cpu", "cpuacct"} { // the hierarchy's directory has the names in another order
		if err := os.Symlink("cpuacct,cpu", filepath.Join(s.cgroups, link)); err != nil {
			t.Fatal(err)
		}
	}
	checkDirs(t, s, map[controller]string{cpu: "cpu/a", cpuacct: "cpuacct/a"})
}

func TestTheRootOfAHierarchyIsNobodysOwn(t *testing.T) {
	checkDirs(t, fixture(t, "2:memory:/a\n1:freezer:/\n", "memory/a", "freezer"), map[controller]string{memory: "memory/a"})
	for _, lines := range []string{"2:memory:/\n1:freezer:/\n", "2:memory:/../other\n", "2:memory:/gone\n", "", "nonsense\n"} {
		s := fixture(t, lines, "memory/other", "freezer")
		if c, err := s.load(7, false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %+v, %v", lines, c, err)
		}
	}
	for _, lines := range []string{"0::/\n", "0::/../x\n", "0::/gone (deleted)\n", "1:memory:/a\n"} {
		s := fixture(t, lines, "x", "a")
		if c, err := s.load(7, true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("v2, %q: %+v, %v", lines, c, err)
		}
	}
}

// A shim that itself runs in a container, with the host's hierarchies mounted from its container's cgroup on.
func TestTheRootOfAMountIsTakenOffThePath(t *testing.T) {
	s := fixture(t, "2:memory:/docker/outer/inner\n1:cpu,cpuacct:/docker/outer\n", "memory/inner", "elsewhere/inner")
	write(t, s.proc, "self/mountinfo", fmt.Sprintf(
		"30 29 0:32 /docker/outer %s ro,nosuid - cgroup cgroup rw,memory\n31 29 0:33 /docker/outer %s ro - cgroup cgroup rw,cpu,cpuacct\n",
		filepath.Join(s.cgroups, "elsewhere"), filepath.Join(s.cgroups, "cpu,cpuacct")))
	checkDirs(t, s, map[controller]string{memory: "elsewhere/inner"})
}

func TestOpenTakesTheRuntimesPaths(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		loaded, _ := start("exec sleep 1000")
		paths := map[string]string{}
		for ctrl := range controllers {
			if dir := loaded.at(ctrl); dir != "" && !loaded.v2 {
				paths[ctrl.String()] = dir
			}
		}
		if loaded.v2 {
			paths[""] = loaded.dirs[0]
		}
		opened, err := Open(paths)
		if err != nil || opened.v2 != loaded.v2 || opened.dirs != loaded.dirs {
			t.Errorf("opened %+v, %v; loaded %+v", opened, err, loaded)
		}
	})
	for _, paths := range []map[string]string{nil, {"": "/none"}, {"memory": "/none"}} {
		if _, err := Open(paths); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: %v", paths, err)
		}
	}
}
