package cgroup

import (
	"fmt"
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
	if c.v2 {
		return oomKills(own, "memory.events")
	}
	kills, err := oomKills(own, "memory.oom_control")
	if err != nil {
		return 0, err
	}
	err = walk(own, func(dir string) error {
		if dir == own {
			return nil
		}
		n, err := oomKills(dir, "memory.oom_control")
		kills += n
		return err
	})
	return kills, err
}

// oomKills reads the counter from memory.events (v2) or memory.oom_control (v1, Linux 4.13 and later).
func oomKills(dir, file string) (kills uint64, err error) {
	text, err := slurp(dir, file)
	if err != nil {
		if isGone(err) {
			err = fmt.Errorf("read OOM kills of %s: %w", dir, fs.ErrNotExist)
		}
		return 0, err
	}
	pairs([]byte(text), func(key []byte, v uint64) {
		if string(key) == "oom_kill" {
			kills = v
		}
	})
	return kills, nil
}

// OOMWatch hears from the kernel about OOM kills in a cgroup. It holds one fd, which waits in Go's poller and needs no thread.
type OOMWatch struct {
	cgroup *Cgroup
	file   *os.File // an eventfd (v1) or an inotify instance (v2); owned
	seen   uint64   // OOM kills that Run has told; its own
	once   sync.Once
	closed chan struct{}
}

// WatchOOM registers with the kernel. OOM kills from now on are told by Run; those before are in OOMKills. The caller calls Close.
func (c *Cgroup) WatchOOM() (*OOMWatch, error) {
	own, err := c.need(memory)
	if err != nil {
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	register := eventfd
	if c.v2 {
		register = inotify
	}
	seen, err := c.OOMKills()
	if err != nil {
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	fd, err := register(own)
	if err != nil {
		return nil, fmt.Errorf("watch OOM kills: %w", err)
	}
	return &OOMWatch{cgroup: c, file: os.NewFile(uintptr(fd), "oom"), seen: seen, closed: make(chan struct{})}, nil
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
	kills, err := w.cgroup.OOMKills()
	if err != nil || kills == w.seen {
		return false
	}
	grown := kills > w.seen // on v1, cgroups below may have been removed with their count
	w.seen = kills
	return grown
}

// Close ends Run and frees the fd. It may be called in any state and more than once.
func (w *OOMWatch) Close() {
	w.once.Do(func() {
		close(w.closed)
		_ = w.file.Close()
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

// eventfd asks the memory controller of v1 to write to an eventfd when the cgroup is out of memory. The kernel does so too when the cgroup is removed.
func eventfd(dir string) (fd int, err error) {
	fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("make eventfd: %w", err)
	}
	control, err := open(unix.AT_FDCWD, dir+"/memory.oom_control", unix.O_RDONLY)
	if err == nil {
		err = put(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control))
		_ = unix.Close(control)
	}
	if err != nil {
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
