package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

func TestPidsListsProcessesOfTheCgroupAndBelow(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, parent := start("sleep 1000 & echo $!; wait")
		other, err := strconv.Atoi(parent.line())
		if err != nil {
			t.Fatal(err)
		}
		below := filepath.Join(c.at(c.main()), "below")
		makeDir(t, below)
		if err := put(below, "cgroup.procs", strconv.Itoa(other)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Kill() }) // before the cgroup below is removed
		if got := mustPids(t, c); len(got) != 2 || got[0] != parent.pid() || got[1] != other {
			t.Errorf("pids %v, want %d and %d", got, parent.pid(), other)
		}
	})
}

// Field report F25: a container that makes and removes cgroups below its own is alive all the time.
func TestPidsToleratesCgroupsThatVanish(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, parent := start("exec sleep 1000")
		stop := make(chan struct{})
		var busy sync.WaitGroup
		busy.Go(func() {
			for dir := filepath.Join(c.at(c.main()), "fleeting"); ; {
				select {
				case <-stop:
					return
				default:
					_ = os.MkdirAll(dir+"/deeper", 0o755)
					_ = os.Remove(dir + "/deeper")
					_ = os.Remove(dir)
				}
			}
		})
		for range 2000 {
			found, err := c.Pids()
			if err != nil || len(found) != 1 || found[0] != parent.pid() {
				t.Errorf("pids %v, %v", found, err)
				break
			}
		}
		close(stop)
		busy.Wait()
	})
}

func TestPidsOfAThreadedCgroup(t *testing.T) {
	s, name := makeV2(t)
	dir := filepath.Join(s.cgroups, name)
	parent := spawn(t, "exec sleep 1000", dir)
	domain := load(t, s, parent.pid(), true)
	threaded := filepath.Join(dir, "threaded")
	makeDir(t, threaded)
	if err := put(threaded, "cgroup.type", "threaded"); err != nil {
		t.Skipf("no threaded cgroups here: %v", err)
	}
	if err := put(threaded, "cgroup.threads", strconv.Itoa(parent.pid())); err != nil {
		t.Fatal(err)
	}
	if got := mustPids(t, domain); len(got) != 1 && len(got) != 2 || got[0] != parent.pid() {
		t.Errorf("pids of the domain: %v", got)
	}
	own, err := Open(map[string]string{"": threaded})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustPids(t, own); len(got) != 1 || got[0] != parent.pid() {
		t.Errorf("pids of the threaded cgroup: %v", got)
	}
	if err := own.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := parent.wait(); !got.Signaled() {
		t.Errorf("the process ended with %v", got)
	}
}

func TestACgroupThatIsGoneHasNoProcessesAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, start func(string) (*Cgroup, *child)) {
		c, only := start("exec sleep 1000")
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		only.wait()
		for _, dir := range c.dirs {
			if dir != "" {
				removeDir(t, dir)
			}
		}
		if c.Exists() {
			t.Error("it exists")
		}
		if found, err := c.Pids(); len(found) != 0 || err != nil {
			t.Errorf("pids %v, %v", found, err)
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		_, _, err := c.Stats()
		_, frozenErr := c.Frozen()
		_, oomErr := c.OOMKills()
		_, watchErr := c.WatchOOM()
		for _, err := range []error{err, frozenErr, oomErr, watchErr, c.Freeze(patient(t)), c.Thaw(patient(t))} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
		}
	})
}

func TestNoCgroupIsLoadedForWhoHasNoneOfHisOwn(t *testing.T) {
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(gone.Process.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process that was reaped: %v", err)
	}
	if _, err := Load(2); !errors.Is(err, fs.ErrNotExist) { // kthreadd is in every root, or not visible at all
		t.Errorf("a process of the root cgroup: %v", err)
	}
}

// /proc/PID/cgroup shows the root for a zombie on v1. Whoever took that for the container's cgroup would kill the machine.
func TestAZombieHasNoCgroup(t *testing.T) {
	name := makeV1(t)
	dead := spawnV1(t, "exit 0", name)
	if !until(func() bool { return state(dead.pid()) == "Z" }) {
		t.Fatal("it does not die")
	}
	if c, err := Load(dead.pid()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loaded %+v, %v", c, err)
	}
}
