// Package harness runs real containerd daemons for the end-to-end tests, hands out clients, containers
// and event recordings, and proves after each test that nothing of it is left on the machine.
//
// It knows containerd's public interfaces and the shim's on-disk footprint (bundle directory, socket
// path, cgroup), nothing of the shim's code. Only the tests in e2e import it.
package harness

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"
)

// RuntimeEnv names the environment variable that switches the runtime under test.
const RuntimeEnv = "WISP_E2E_RUNTIME"

// The runtimes that these tests know. Reference is containerd's own shim: whatever it does right,
// a test expects of it too, and that is how a test is known to be right.
const (
	Wisp      = "io.containerd.wisp.v2"
	Reference = "io.containerd.runc.v2"
)

// Runtime returns the name of the runtime under test.
func Runtime() string { return cmp.Or(os.Getenv(RuntimeEnv), Wisp) }

// Ours reports whether wisp is under test, not the reference.
func Ours() bool { return Runtime() != Reference }

// A Release is an installed version of containerd and the way to start it.
type Release struct {
	Name       string // as it appears in test names
	Containerd string // the daemon's path
	Ctr        string // the path of the ctr of the same release
	Modern     bool   // 2.3 or later: tasks of version 3, RuntimeInfo, tasks that survive a restart stopped

	config string   // the daemon's configuration file
	dirs   []string // where the daemon looks for the shim, in order; runc's place comes before them
	runc   string
}

const config16 = `version = 2
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
`

const config24 = `version = 4
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
]
`

// Releases returns the releases that every test runs against. A missing tool fails the test.
func Releases(t testing.TB) []Release {
	t.Helper()
	root := repository(t)
	built, ours := filepath.Join(root, ".cache", "bin"), filepath.Join(root, "bin")
	releases := []Release{
		{
			Name: "containerd-2.4", Containerd: filepath.Join(built, "containerd"), Ctr: filepath.Join(built, "ctr"),
			Modern: true, config: config24, dirs: []string{ours, built},
		},
		{
			Name: "containerd-1.6", Containerd: "/usr/bin/containerd", Ctr: "/usr/bin/ctr",
			config: config16, dirs: []string{ours, "/usr/bin"},
		},
	}
	for i := range releases {
		r := &releases[i]
		r.runc = filepath.Join(built, "runc")
		requireTools(t, r.Containerd, r.Ctr, r.runc, busybox)
		requireShim(t, r.dirs)
	}
	return releases
}

// repository returns the root of the checkout: the tests run in its e2e directory.
func repository(t testing.TB) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(wd)
}

func requireTools(t testing.TB, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			t.Fatalf("%v: run `make deps` in the repository's root first", err)
		}
	}
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end tests run containers: run them as root")
	}
}

func requireShim(t testing.TB, dirs []string) {
	t.Helper()
	name := "containerd-shim-wisp-v2"
	if !Ours() {
		name = "containerd-shim-runc-v2"
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, name)); err == nil {
			return
		}
	}
	t.Fatalf("no %s in %v: run `make build deps` in the repository's root first", name, dirs)
}
