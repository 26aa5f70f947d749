// Package reaper owns the children of this process: it makes the process a
// subreaper, is the only caller of wait4 in it, holds a pidfd for each child
// that somebody follows, and decodes wait statuses once. [Reaper.Start] and
// [Watch.Claim] are the two ways to a [Process].
//
// It must not know runc, containers or the wire. stdio, runc and proc use it.
//
// Nothing else in the process may wait for children: no os/exec, no
// os.StartProcess. Linux 5.4 is the least kernel (pidfds).
//
// Two rules carry the package. An exit goes to one owner, is never dropped
// while somebody may still ask for it, and no timer stands on its way
// (docs/decisions/0004-parked-exits.md). And a pid is looked up only under the
// lock under which it would be reaped, so that it cannot have been recycled
// (docs/decisions/0005-pid-reuse.md).
package reaper

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/bell"
)

// Reaper reaps all children of this process. A process has one.
type Reaper struct {
	subreaper func() error  // makes the process a subreaper, the first time it is called
	wake      chan struct{} // holds one token: Run is to look again

	// mu guards all that follows, and the fields of each Process so marked.
	// What runs under it does not block: wait4 with WNOHANG, pidfd_open,
	// pidfd_send_signal, close of a pidfd.
	mu       sync.Mutex
	live     map[int]*Process // claimed and not reaped, by pid
	seq      uint64           // stamps watches, forks and parked exits in the order in which they came
	watches  marks            // open watches
	forks    marks            // calls of Start between fork and claim
	parked   []parkedExit     // unclaimed exits, oldest first
	told     *Process         // announced and not reaped yet; in live still, so that nobody claims it
	held     heldChild
	counters Counters
}

// Counters is what a Reaper has done since it was made.
// Reaped is what went to an owner, plus Parked, plus Dropped.
type Counters struct {
	Started int // children started by Start
	Reaped  int // exits taken from the kernel
	Parked  int // of these, now kept for a claim
	Dropped int // of these, forgotten: nobody could claim them any more
}

// New returns a Reaper. It reaps nothing before Run.
func New() *Reaper {
	return &Reaper{
		subreaper: sync.OnceValue(becomeSubreaper),
		wake:      make(chan struct{}, 1),
		live:      make(map[int]*Process),
	}
}

// Run makes the process a subreaper and reaps until ctx ends, then returns nil.
// Only one Run may be active. Children that are alive when it ends stay as
// they are: their Done stays open, and a later Run takes them up again.
//
// Its wake-up is SIGCHLD by way of package bell. A signalfd needs SIGCHLD
// blocked in all threads, and Go's runtime unblocks SIGCHLD in each thread it
// starts (_SigUnblock in its sigtable). Polling pidfds instead would leave
// orphans that nobody knows unreaped. Signals that coalesce lose nothing: each
// one has wait4 called until it is dry.
func (r *Reaper) Run(ctx context.Context) error {
	children, err := bell.Open(syscall.SIGCHLD)
	if err != nil {
		return err
	}
	defer children.Close()
	if err := r.subreaper(); err != nil {
		return err
	}
	for {
		for r.reapNext() {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-children.C:
		case <-r.wake:
		}
	}
}

// Counters returns the counters as they are now.
func (r *Reaper) Counters() Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counters
	c.Parked = len(r.parked)
	return c
}

// reapNext takes one exit and hands it on. It returns false when there is none now.
func (r *Reaper) reapNext() bool {
	r.mu.Lock()
	p, more := r.reapLocked()
	r.mu.Unlock()
	if p != nil {
		p.announce()
		runtime.Gosched() // those who wait for it go on before the kernel tears down what is left of it
	}
	return more
}

// reapLocked does one of three things: it looks at a child that is followed, which returns a process whose exit is yet to be announced; it reaps the one
// that was announced last, which for an init with a pid namespace of its own takes longer than the look; or it reaps a child that nobody follows.
func (r *Reaper) reapLocked() (p *Process, more bool) {
	if r.told != nil {
		r.collectLocked()
		return nil, true
	}
	info := r.peekLocked()
	if info.pid == 0 {
		return nil, false
	}
	pid := int(info.pid)
	if p = r.live[pid]; p != nil {
		r.counters.Reaped++
		p.endLocked(info.exit())
		r.told = p
		return p, true
	}
	pid, status, err := wait(pid)
	if err != nil || pid == 0 {
		return nil, true // it has gone to ForkExec: there may be others
	}
	r.counters.Reaped++
	r.parkLocked(decode(pid, status))
	return nil, true
}

// collectLocked reaps the process that was announced last. As long as it was a zombie its pid was nobody else's.
func (r *Reaper) collectLocked() {
	p := r.told
	r.told = nil
	delete(r.live, p.pid)
	p.closeLocked()
	_, _, _ = wait(p.pid) // it is a zombie, and nobody else waits for it
}

// poke has Run look again.
func (r *Reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// becomeSubreaper has orphaned descendants become children of this process.
func becomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}
