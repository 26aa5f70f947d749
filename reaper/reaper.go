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
	held     heldChild
	counters Counters
}

// Counters is what a Reaper has done since it was made.
// Reaped is what went to an owner, plus Parked, plus Dropped.
type Counters struct {
	Started int // children started by Start
	Reaped  int // exits collected from the kernel
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

// reapNext reaps one child and hands its exit on. It returns false when there
// is nothing to reap now.
func (r *Reaper) reapNext() bool {
	r.mu.Lock()
	p, more := r.reapLocked()
	r.mu.Unlock()
	if p != nil {
		p.announce()
	}
	return more
}

// reapLocked reaps one child. The process returned, if any, is one whose exit
// is yet to be announced.
func (r *Reaper) reapLocked() (p *Process, more bool) {
	which := anyChild
	if len(r.forks) > 0 {
		if which = r.peekLocked(); which == 0 {
			return nil, false
		}
	}
	pid, status, err := wait(which)
	if err != nil || pid == 0 {
		// A child that was named has gone to ForkExec: there may be others.
		return nil, which != anyChild
	}
	r.counters.Reaped++
	exit := decode(pid, status)
	if p = r.live[pid]; p == nil {
		r.parkLocked(exit)
		return nil, true
	}
	delete(r.live, pid)
	p.endLocked(exit)
	return p, true
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
