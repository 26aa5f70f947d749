package reaper

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// stdFiles is the least number of files a child gets.
const stdFiles = 3

// errTaken is returned when a child of Start was waited for by other code.
var errTaken = errors.New("its exit was taken by somebody else")

// Command is what Start runs.
type Command struct {
	Path string   // the program; PATH is not searched
	Args []string // with argv[0]
	Env  []string // the whole environment: nil is an empty one
	Dir  string   // working directory; "" is the caller's

	// Files become the child's descriptors 0 to n, and it gets no others. Nil
	// and missing ones among 0, 1 and 2 are /dev/null. They are borrowed until
	// Start returns. One that is under Go's poller is made blocking, for
	// that is what programs expect.
	Files []*os.File

	// Pdeathsig is sent to the child when the thread that forked it ends. That
	// is when this process ends, unless the caller of Start is locked to a
	// thread (runtime.LockOSThread) that ends earlier.
	Pdeathsig syscall.Signal
	Setpgid   bool // lead a process group of its own
	Setsid    bool // lead a session of its own

	// Cloneflags and the maps are for a child in new namespaces, as syscall.SysProcAttr has them.
	Cloneflags  uintptr
	UidMappings []syscall.SysProcIDMap
	GidMappings []syscall.SysProcIDMap
}

// launch is what one fork needs, in one allocation.
type launch struct {
	attr  syscall.ProcAttr
	sys   syscall.SysProcAttr
	pidfd int
	null  int // owned; -1 if it was not needed
	files [stdFiles]uintptr
}

// Start starts a program. Its exit goes to the Process alone. No lock is held
// over the fork. A program that is not there is an error that wraps
// fs.ErrNotExist, and a failed Start leaves nothing behind.
func (r *Reaper) Start(c Command) (*Process, error) {
	if err := r.subreaper(); err != nil {
		return nil, err
	}
	l := &launch{pidfd: -1, null: -1}
	err := l.prepare(c)
	defer l.close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &Process{r: r, pidfd: -1, done: make(chan struct{})}

	mark := r.beginFork()
	pid, err := syscall.ForkExec(c.Path, c.Args, &l.attr)
	runtime.KeepAlive(c.Files)
	if err != nil {
		r.endFork(mark)
		return nil, fmt.Errorf("start %s: %w", c.Path, explain(err, c.Dir))
	}
	p.pid, p.pidfd = pid, l.pidfd
	if p, err = r.finishFork(mark, p); err != nil {
		return nil, fmt.Errorf("start %s: pid %d: %w", c.Path, pid, err)
	}
	return p, nil
}

// prepare fills in what ForkExec takes.
func (l *launch) prepare(c Command) error {
	l.sys = syscall.SysProcAttr{
		Pdeathsig: c.Pdeathsig, Setpgid: c.Setpgid, Setsid: c.Setsid, PidFD: &l.pidfd,
		Cloneflags: c.Cloneflags, UidMappings: c.UidMappings, GidMappings: c.GidMappings,
	}
	l.attr = syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: l.files[:], Sys: &l.sys}
	if len(c.Files) > stdFiles {
		l.attr.Files = make([]uintptr, len(c.Files))
	}
	for i := range l.attr.Files {
		if i < len(c.Files) && c.Files[i] != nil {
			l.attr.Files[i] = c.Files[i].Fd()
			if int(l.attr.Files[i]) < 0 {
				return fmt.Errorf("use %s as descriptor %d: %w", c.Files[i].Name(), i, os.ErrClosed)
			}
			continue
		}
		if l.null < 0 {
			fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open %s: %w", os.DevNull, err)
			}
			l.null = fd
		}
		l.attr.Files[i] = uintptr(l.null)
	}
	return nil
}

func (l *launch) close() {
	if l.null >= 0 {
		_ = unix.Close(l.null) // nothing was written
	}
}

// explain tells apart the two things that ForkExec's error may be about.
func explain(err error, dir string) error {
	if dir != "" {
		if info, statErr := os.Stat(dir); statErr != nil {
			return fmt.Errorf("enter directory: %w", statErr)
		} else if !info.IsDir() {
			return fmt.Errorf("enter directory %s: %w", dir, syscall.ENOTDIR)
		}
	}
	return err
}

// beginFork keeps exits from now on, and tells the reap loop of the fork. Its
// caller ends it with endFork or finishFork.
func (r *Reaper) beginFork() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	mark := r.nextLocked()
	r.forks.add(mark)
	return mark
}

// endFork ends a fork that failed: ForkExec has reaped its child, or the reap
// loop has and its exit is forgotten here.
func (r *Reaper) endFork(mark uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endForkLocked(mark)
	if r.held.pid != 0 && !isChild(r.held.pid) {
		r.held = heldChild{} // it was this one's
	}
}

// finishFork registers a new child, or gives it its exit if that came first.
func (r *Reaper) finishFork(mark uint64, p *Process) (*Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.endForkLocked(mark)
	r.counters.Started++
	if unix.PidfdSendSignal(p.pidfd, 0, nil, 0) != unix.ESRCH {
		if q := r.live[p.pid]; q != nil { // somebody claimed a recycled pid meanwhile: share it
			_ = unix.Close(p.pidfd)
			return q, nil
		}
		r.live[p.pid] = p
		return p, nil
	}
	exit, ok := r.takeLocked(p.pid, mark)
	if !ok {
		_ = unix.Close(p.pidfd)
		return nil, errTaken
	}
	p.endLocked(exit)
	p.closeLocked()
	return p, nil
}

func (r *Reaper) endForkLocked(mark uint64) {
	r.forks.remove(mark)
	r.trimLocked()
	if r.held.pid != 0 {
		r.poke()
	}
}
