package runc

import "testing"

// golden holds what runtimes have printed, collected on Linux 6.18 from Debian's runc
// 1.1.5 and crun 1.8.1 and from runc 1.5.2; and what must mean nothing.
func TestWordsMeanWhatTheRuntimesMean(t *testing.T) {
	for _, c := range []struct {
		verb, words string
		want        error
	}{
		// runc 1.1.5 and 1.5.2, which say the same.
		{"state", "container does not exist", ErrNotExist},
		{"exec", "exec failed: container does not exist", ErrNotExist},
		{"create", "runc create failed: container with given ID already exists", ErrExists},
		{"kill", "container not running", ErrNotRunning},
		{"exec", "exec failed: cannot exec in a stopped container", ErrNotRunning},
		{"start", "cannot start a container that has stopped", ErrNotRunning},
		{"exec", "exec failed: cannot exec in a paused container (use --ignore-paused to override)", ErrPaused},
		{"resume", "container not paused", nil},
		{"start", "cannot start an already running container", nil},
		{"delete", "cannot delete container c1 that is not stopped: running", nil},
		{"kill", "unable to signal init: invalid argument", nil},
		{"create", "runc create failed: JSON specification file config.json not found", nil},
		{"create", "runc create failed: unexpected EOF", nil},
		{"create", "runc create failed: invalid rootfs: stat /b/nope: no such file or directory", nil},
		{"create", `runc create failed: unable to start container process: exec: "/x": stat /x: no such file or directory`, nil},
		{"create", `runc create failed: namespace "/proc/1/ns/x" does not exist`, nil},
		{"create", "Requested network namespace x does not exist", nil},
		// runc 1.0.
		{"state", `container "c1" does not exist`, ErrNotExist},
		{"create", "container with id exists: c1", ErrExists},
		// crun 1.8.1.
		{"state", "error opening file `/run/crun/nope/status`: No such file or directory", ErrNotExist},
		{"delete", "cannot open directory '/run/crun/nope': No such file or directory", ErrNotExist},
		{"create", "cannot open directory '/b/rootfs': No such file or directory", nil},
		{"create", "container `c1` already exists", ErrExists},
		{"exec", "the container `c1` is not running", ErrNotRunning},
		{"exec", "the container `c1` is paused", ErrPaused},
		{"kill", "kill container: No such process", ErrNotRunning},
		// crun since 1.9 wraps the first of these.
		{"state", "container `nope` does not exist: error opening file `/run/crun/nope/status`: No such file or directory", ErrNotExist},
		// Go.
		{"kill", "os: process already finished", ErrNotRunning},
		{"start", "", nil},
	} {
		if got := classify(c.verb, c.words); got != c.want {
			t.Errorf("%s: %s\ngot %v, want %v", c.verb, c.words, got, c.want)
		}
	}
}
