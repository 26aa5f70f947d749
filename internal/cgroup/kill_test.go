package cgroup

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func checkKilled(t *testing.T, c *Cgroup, first *child) {
	t.Helper()
	if got := first.wait(); got.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", got)
	}
	var left []int
	if !until(func() bool { left = mustPids(t, c); return len(left) == 0 }) {
		t.Errorf("%v live on", left)
	}
}

func TestKillKillsAllThatIsInside(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, first := start("for i in 1 2 3 4 5; do setsid sleep 1000 & done; sleep 1000 & echo $!; wait")
		other := first.line()
		below := filepath.Join(c.at(c.main()), "below")
		makeDir(t, below)
		if err := put(below, "cgroup.procs", other); err != nil {
			t.Fatal(err)
		}
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		checkKilled(t, c, first)
		if err := c.Kill(); err != nil {
			t.Errorf("with nobody left: %v", err)
		}
	})
}

// Field report F49.
func TestKillReachesTheFrozen(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, first := start("sleep 1000 & echo up; wait")
		first.line()
		if err := c.Freeze(patient(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		checkKilled(t, c, first)
	})
}

// A container that uses the freezer itself has frozen a cgroup below its own, or died with it frozen.
func TestKillReachesWhatTheContainerFroze(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, first := start("sleep 1000 & echo $!; wait")
		other := first.line()
		below := filepath.Join(c.at(c.main()), "below")
		makeDir(t, below)
		if err := put(below, "cgroup.procs", other); err != nil {
			t.Fatal(err)
		}
		inner := &Cgroup{v2: c.v2, sys: c.sys}
		inner.dirs[0] = below
		if err := inner.Freeze(patient(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		checkKilled(t, c, first)
	})
}

func TestKillOutrunsThoseWhoFork(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, first := start("f() { while :; do /bin/true; done; }; f & f & f & echo up; wait")
		first.line()
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		checkKilled(t, c, first)
	})
}

// Linux before 5.14 has no cgroup.kill.
func TestKillOneByOneOnV2(t *testing.T) {
	s, name := makeV2(t)
	first := spawn(t, "sleep 1000 & sleep 1000 & echo up; wait", filepath.Join(s.cgroups, name))
	c := load(t, s, first.pid(), true)
	first.line()
	if err := c.Freeze(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.killEach(); err != nil {
		t.Fatal(err)
	}
	checkKilled(t, c, first)
}

// Without a freezer there is no moment at which nobody forks.
func TestKillWithoutAFreezer(t *testing.T) {
	name := makeV1(t)
	first := spawnV1(t, "sleep 1000 & sleep 1000 & echo up; wait", name)
	c := load(t, host(), first.pid(), false)
	first.line()
	c.dirs[freezer] = ""
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	checkKilled(t, c, first)
}

func TestJoin(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, _ := start("exec sleep 1000")
		name := "/" + filepath.Base(c.at(c.main()))
		outside := spawn(t, "exec sleep 1000")
		if err := c.sys.join(name, outside.pid(), c.v2); err != nil {
			t.Fatal(err)
		}
		joined := load(t, c.sys, outside.pid(), c.v2)
		if joined.dirs != c.dirs {
			t.Errorf("joined %v, want %v", joined.dirs, c.dirs)
		}
		for _, path := range []string{name + "-none", "", "/", "..", c.sys.cgroups + name} {
			err := c.sys.join(path, outside.pid(), c.v2)
			if err == nil {
				t.Errorf("path %q is joined", path)
			} else if want := strconv.Quote(path); !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not name %s", err, want)
			}
		}
	})
}
