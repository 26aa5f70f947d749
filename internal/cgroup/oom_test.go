package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const eat = "exec tail /dev/zero" // one line that never ends, kept in memory

// limitMemory lets the cgroup have 16 MiB, and no swap where that is accounted.
func limitMemory(t *testing.T, name string) {
	t.Helper()
	dir := filepath.Join("/sys/fs/cgroup/memory", name)
	if err := put(dir, "memory.limit_in_bytes", "16777216"); err != nil {
		t.Skipf("no limit on memory here: %v", err)
	}
	_ = put(dir, "memory.memsw.limit_in_bytes", "16777216")
}

// listener counts what an OOMWatch tells.
type listener struct {
	watch *OOMWatch
	told  atomic.Int64
	ended chan struct{}
}

func listen(t *testing.T, c *Cgroup) *listener {
	t.Helper()
	w, err := c.WatchOOM()
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{watch: w, ended: make(chan struct{})}
	go l.run()
	t.Cleanup(l.stop)
	return l
}

func (l *listener) run() {
	defer close(l.ended)
	l.watch.Run(func() { l.told.Add(1) })
}

func (l *listener) stop() {
	l.watch.Close()
	<-l.ended
}

// Field report F6: the counter has grown by the time the death is known, and the watch tells of each kill though v1 notifies before it kills.
func TestEveryInstantOOMIsCountedAndTold(t *testing.T) {
	name := makeV1(t)
	limitMemory(t, name)
	keeper := spawnV1(t, "exec sleep 1000", name)
	c := load(t, host(), keeper.pid(), false)
	heard := listen(t, c)
	for want := uint64(1); want <= 20; want++ {
		if got := spawnV1(t, eat, name).wait(); !got.Signaled() {
			t.Fatalf("the eater ended with %v", got)
		}
		if kills, err := c.OOMKills(); kills != want || err != nil {
			t.Fatalf("%d kills are counted, want %d; %v", kills, want, err)
		}
		if !until(func() bool { return heard.told.Load() >= int64(want) }) {
			t.Fatalf("told %d times of %d kills", heard.told.Load(), want)
		}
	}
	if told := heard.told.Load(); told != 20 {
		t.Errorf("told %d times of 20 kills", told)
	}
}

// The counters of v1 are each cgroup's own: a process that a container keeps in a cgroup below its own is counted there.
func TestOOMBelowTheContainersCgroupCounts(t *testing.T) {
	name := makeV1(t)
	limitMemory(t, name)
	keeper := spawnV1(t, "exec sleep 1000", name)
	c := load(t, host(), keeper.pid(), false)
	heard := listen(t, c)
	below := filepath.Join(c.at(memory), "below")
	makeDir(t, below)
	spawn(t, eat, below).wait()
	if kills, err := c.OOMKills(); kills != 1 || err != nil {
		t.Errorf("%d kills, %v", kills, err)
	}
	if !until(func() bool { return heard.told.Load() == 1 }) {
		t.Error("the watch did not tell")
	}
}

func TestTheWatchEndsWithItsCgroup(t *testing.T) {
	name := makeV1(t)
	only := spawnV1(t, "exec sleep 1000", name)
	c := load(t, host(), only.pid(), false)
	heard := listen(t, c)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	only.wait()
	removeDir(t, c.at(memory))
	<-heard.ended
	if heard.told.Load() != 0 {
		t.Error("it told of an OOM kill")
	}
	heard.watch.Close()
}

func TestAWatchMayBeClosedAtAnyTime(t *testing.T) {
	name := makeV1(t)
	keeper := spawnV1(t, "exec sleep 1000", name)
	c := load(t, host(), keeper.pid(), false)
	for range 50 {
		w, err := c.WatchOOM()
		if err != nil {
			t.Fatal(err)
		}
		var runs sync.WaitGroup
		runs.Go(func() { w.Run(func() { t.Error("it told of an OOM kill") }) })
		w.Close()
		w.Close()
		runs.Wait()
	}
	w, err := c.WatchOOM() // and one that never runs
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

// makeEventFixture is a v2 cgroup in plain files, in place of the memory controller that a hybrid machine does not have there. inotify tells of writes alike.
func makeEventFixture(t *testing.T, kills int) *Cgroup {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "cgroup.events", "populated 1\nfrozen 0\n")
	write(t, dir, "memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill "+strconv.Itoa(kills)+"\noom_group_kill 0\n")
	c, err := Open(map[string]string{"": dir})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheWatchOfV2TellsWhenTheCounterGrows(t *testing.T) {
	c := makeEventFixture(t, 4)
	heard := listen(t, c)
	for i := range 5 {
		write(t, c.at(memory), "memory.events", "low 0\nhigh 9\nmax 9\noom 9\noom_kill "+strconv.Itoa(5+i)+"\n")
		if !until(func() bool { return heard.told.Load() == int64(1+i) }) {
			t.Fatalf("told %d times, want %d", heard.told.Load(), 1+i)
		}
	}
	write(t, c.at(memory), "cgroup.events", "populated 0\nfrozen 0\n")
	<-heard.ended
}

// The events file of a real v2 cgroup: the kernel tells when the last process has gone.
func TestTheWatchOfV2EndsWithTheLastProcess(t *testing.T) {
	s, name := makeV2(t)
	dir := filepath.Join(s.cgroups, name)
	only := spawn(t, "exec sleep 1000", dir)
	c := load(t, s, only.pid(), true)
	fd, err := inotify(dir)
	if err != nil {
		// No memory controller here: a fixture stands in for its file, the rest is the kernel's.
		fd = inotifyOf(t, filepath.Join(dir, "cgroup.events"))
	}
	w := &OOMWatch{cgroup: c, file: os.NewFile(uintptr(fd), "oom"), closed: make(chan struct{})}
	heard := &listener{watch: w, ended: make(chan struct{})}
	go heard.run()
	t.Cleanup(heard.stop)
	if !c.alive() {
		t.Error("it is not alive")
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	only.wait()
	<-heard.ended
}
