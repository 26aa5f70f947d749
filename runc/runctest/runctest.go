// Package runctest is a runtime for tests: a test binary that runs itself as runc.
// It runs real processes with real pid files, exits, pid namespaces, cgroups and
// terminals, but without root file systems, and does wrong what it is told to
// (see [Fault]). [Main] and [Binary] are the two names to begin with.
//
// A test package gives it the stage in its TestMain:
//
//	func TestMain(m *testing.M) {
//		runctest.Main()
//		os.Exit(m.Run())
//	}
//
// It must not know the packages that it stands in for. Only tests use it. It needs
// root, and cgroups mounted below /sys/fs/cgroup.
package runctest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// fakeName is the base of argv[0] by which Main knows its stage.
const fakeName = "wisp-fake-runc"

// Main does not return if this process was started as the runtime. Otherwise it
// does nothing.
func Main() {
	if filepath.Base(os.Args[0]) == fakeName {
		code := run(os.Args)
		// With the race detector os.Exit sleeps a second: ours may run a hundred times a test.
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}

// Binary returns the path of a runtime: a link to the test binary, in a directory
// of its own where its faults are kept. Children that faults have left behind
// are killed when the test ends.
func Binary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), fakeName)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killChildren(filepath.Dir(path)) })
	return path
}

// Root returns a directory for the runtime's state (--root). Containers that are
// left in it when the test ends are killed and removed.
func Root(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() {
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Errorf("purge runtime root: %v", err)
		}
		for _, e := range entries {
			f := &fake{root: root, id: e.Name()}
			if err := f.destroy(); err != nil {
				t.Errorf("purge container %s: %v", e.Name(), err)
			}
		}
	})
	return root
}
