package cgroup

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OOMKills reads how many processes of the cgroup the kernel has killed for want of memory since the cgroup was made. The error wraps fs.ErrNotExist
// when the cgroup is gone or has no memory controller. On v1, where a cgroup does not count what happens below it, those below are added.
func (c *Cgroup) OOMKills() (uint64, error) {
	own, err := c.need(memory)
	if err != nil {
		return 0, err
	}
	kills, err := oomKills(own, c.oomFile())
	if err != nil {
		return 0, err
	}
	below, err := c.oomKillsBelow(own)
	return kills + below, err
}

// oomFile has the counter. v1 has it since Linux 4.13.
func (c *Cgroup) oomFile() string {
	if c.v2 {
		return "memory.events"
	}
	return "memory.oom_control"
}

// oomKillsBelow is what the counter of own does not count.
func (c *Cgroup) oomKillsBelow(own string) (kills uint64, err error) {
	if c.v2 {
		return 0, nil
	}
	err = walk(own, func(dir string) error {
		if dir == own {
			return nil
		}
		n, err := oomKills(dir, c.oomFile())
		kills += n
		return err
	})
	return kills, err
}

// oomKills reads the counter in a directory.
func oomKills(dir, file string) (uint64, error) {
	text, err := slurp(dir, file)
	if err != nil {
		if isGone(err) {
			err = fmt.Errorf("read OOM kills of %s: %w", dir, fs.ErrNotExist)
		}
		return 0, err
	}
	return oomCount([]byte(text)), nil
}

// oomCount is the counter in its file's text.
func oomCount(text []byte) (kills uint64) {
	pairs(text, func(key []byte, v uint64) {
		if string(key) == "oom_kill" {
			kills = v
		}
	})
	return kills
}

// countRoom holds all of a counter's file, in bytes.
const countRoom = 1024

// OOMWatch hears from the kernel about OOM kills in a cgroup. It holds two fds: one waits in Go's poller and needs no thread; the counter's is kept because
// to open it takes longer than to read it, and the announcement of a death waits for what it says.
type OOMWatch struct {
	cgroup  *Cgroup
	own     string   // the cgroup's directory
	file    *os.File // an eventfd (v1) or an inotify instance (v2); owned
	counter *os.File // owned
	seen    uint64   // OOM kills that Run has told; its own
	once    sync.Once
	closed  chan struct{}
}

// WatchOOM registers with the kernel. OOM kills from now on are told by Run; those before are in OOMKills. The caller calls Close.
func (c *Cgroup) WatchOOM() (*OOMWatch, error) {
	own, err := c.need(memory)
	if err != nil {
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	counter, err := open(unix.AT_FDCWD, own+"/"+c.oomFile(), unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	w := &OOMWatch{cgroup: c, own: own, counter: os.NewFile(uintptr(counter), c.oomFile()), closed: make(chan struct{})}
	var fd int
	if w.seen, err = w.Kills(); err == nil {
		if c.v2 {
			fd, err = inotify(own)
		} else {
			fd, err = eventfd(own, counter)
		}
	}
	if err != nil {
		_ = w.counter.Close() // it was only read
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	w.file = os.NewFile(uintptr(fd), "oom")
	return w, nil
}

// Kills is OOMKills, sooner. It fails once the watch is closed.
func (w *OOMWatch) Kills() (uint64, error) {
	var room [countRoom]byte
	n, err := w.counter.ReadAt(room[:], 0)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("read OOM kills: %w", err)
	}
	below, err := w.cgroup.oomKillsBelow(w.own)
	return oomCount(room[:n]) + below, err
}

// Run calls told whenever the number of OOM kills has grown, in its own goroutine, which is the caller's. It returns when the watch is closed or the cgroup
// is gone.
func (w *OOMWatch) Run(told func()) {
	defer w.Close()
	buf := make([]byte, 16*unix.SizeofInotifyEvent)
	for {
		if w.check() {
			told()
		}
		if _, err := w.file.Read(buf); err != nil {
			return
		}
		if !w.settle(told) {
			return
		}
	}
}

// settle follows up on a notification, and tells whether there may be another. cgroup v1 notifies before it kills, and does not notify of the kill; and a
// cgroup that is removed notifies too.
func (w *OOMWatch) settle(told func()) bool {
	for pause := countFirst; ; pause *= 2 {
		if w.check() {
			told()
			return true
		}
		if !w.cgroup.alive() {
			return false
		}
		if w.cgroup.v2 || pause > countMax/2 {
			return true // v2 notifies of the kill itself; v1 may have been relieved, or its OOM killer is off
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.closed:
			timer.Stop()
			return false
		}
	}
}

// check tells whether there have been kills since the last check.
func (w *OOMWatch) check() bool {
	kills, err := w.Kills()
	if err != nil || kills == w.seen {
		return false
	}
	grown := kills > w.seen // on v1, cgroups below may have been removed with their count
	w.seen = kills
	return grown
}

// Close ends Run and frees the fds. It may be called in any state and more than once.
func (w *OOMWatch) Close() {
	w.once.Do(func() {
		close(w.closed)
		_ = w.file.Close()
		_ = w.counter.Close()
	})
}

// alive tells whether the cgroup can have OOM kills still. On v2 the directory's removal is not always notified, but its last process's end is.
func (c *Cgroup) alive() bool {
	own := c.at(memory)
	if !c.v2 {
		_, err := os.Stat(own)
		return err == nil
	}
	events, err := slurp(own, "cgroup.events")
	return err == nil && !strings.Contains(events, "populated 0\n")
}

// eventfd asks the memory controller of v1 to write to an eventfd when the cgroup, whose memory.oom_control is control, is out of memory. The kernel does so too
// when the cgroup is removed.
func eventfd(dir string, control int) (fd int, err error) {
	fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("make eventfd: %w", err)
	}
	if err := put(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control)); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("register eventfd: %w", err)
	}
	return fd, nil
}

// inotify watches the two files of v2 whose changes the kernel notifies: one has the counter, the other tells when nobody is left.
func inotify(dir string) (fd int, err error) {
	fd, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("make inotify: %w", err)
	}
	for _, file := range []string{"memory.events", "cgroup.events"} {
		if _, err := unix.InotifyAddWatch(fd, dir+"/"+file, unix.IN_MODIFY|unix.IN_DELETE_SELF); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("watch %s/%s: %w", dir, file, err)
		}
	}
	return fd, nil
}
