package reaper

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// Errors of Claim.
var (
	// ErrNotChild is returned when no child of that pid is alive and unclaimed,
	// and no unclaimed exit of it has come since the watch was opened.
	ErrNotChild = errors.New("not an unclaimed child")
	// ErrWatchClosed is returned once the watch is closed.
	ErrWatchClosed = errors.New("watch is closed")
)

// keepParked is the room for parked exits that is kept when it is empty.
const keepParked = 64

// parkedExit is an exit nobody had claimed when it came.
type parkedExit struct {
	seq  uint64
	exit Exit
}

// marks is a set of stamps in ascending order.
type marks []uint64

func (m *marks) add(seq uint64) { *m = append(*m, seq) }

func (m *marks) remove(seq uint64) {
	if i, found := slices.BinarySearch(*m, seq); found {
		*m = slices.Delete(*m, i, i+1)
	}
}

// oldest returns the first stamp, and the largest number there is in an empty set.
func (m marks) oldest() uint64 {
	if len(m) == 0 {
		return math.MaxUint64
	}
	return m[0]
}

// Watch keeps unclaimed exits from the moment it is opened. Open it before what
// makes the process, claim, and close it soon: as long as it is open every
// unclaimed exit stays in memory (64 bytes each).
type Watch struct {
	r   *Reaper
	seq uint64

	closed bool // r.mu guards it
}

// Watch opens a watch. The caller closes it.
func (r *Reaper) Watch() *Watch {
	// This cannot fail on a kernel that has pidfds. If it did, Run would say so.
	_ = r.subreaper()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &Watch{r: r, seq: r.nextLocked()}
	r.watches.add(w.seq)
	return w
}

// Close ends the watch and forgets the exits that no other one is old enough
// to claim. What was claimed is not touched. A second Close does nothing.
func (w *Watch) Close() {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.r.watches.remove(w.seq)
	w.r.trimLocked()
}

// Claim returns the child of that pid, alive or dead since the watch was
// opened, to its one owner. Another Claim of it fails with ErrNotChild.
//
// When the pid has had several holders since then, Claim returns the last one
// that nobody has claimed: docs/decisions/0005-pid-reuse.md.
func (w *Watch) Claim(pid int) (*Process, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("claim pid %d: %w", pid, ErrWatchClosed)
	}
	p, err := w.r.claimLocked(pid, w.seq)
	if err != nil {
		return nil, fmt.Errorf("claim pid %d: %w", pid, err)
	}
	return p, nil
}

func (r *Reaper) claimLocked(pid int, since uint64) (*Process, error) {
	if pid <= 0 {
		return nil, ErrNotChild
	}
	if r.live[pid] == nil && isChild(pid) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return nil, fmt.Errorf("open pidfd: %w", err)
		}
		p := &Process{r: r, pid: pid, pidfd: fd, done: make(chan struct{})}
		r.live[pid] = p
		return p, nil
	}
	exit, ok := r.takeLocked(pid, since)
	if !ok {
		return nil, ErrNotChild
	}
	p := &Process{r: r, pid: pid, pidfd: -1, done: make(chan struct{})}
	p.endLocked(exit)
	return p, nil
}

// nextLocked returns the next stamp.
func (r *Reaper) nextLocked() uint64 {
	r.seq++
	return r.seq
}

// parkLocked keeps an unclaimed exit if anybody can still claim it.
func (r *Reaper) parkLocked(e Exit) {
	if len(r.watches) == 0 && len(r.forks) == 0 {
		r.counters.Dropped++
		return
	}
	r.parked = append(r.parked, parkedExit{seq: r.nextLocked(), exit: e})
}

// takeLocked removes and returns the last parked exit of a pid that is younger
// than the stamp.
func (r *Reaper) takeLocked(pid int, since uint64) (Exit, bool) {
	for i := len(r.parked) - 1; i >= 0 && r.parked[i].seq > since; i-- {
		if e := r.parked[i].exit; e.Pid == pid {
			r.parked = slices.Delete(r.parked, i, i+1)
			return e, true
		}
	}
	return Exit{}, false
}

// trimLocked forgets the parked exits that are older than every open watch and
// every fork, and gives back room that is not needed.
func (r *Reaper) trimLocked() {
	oldest := min(r.watches.oldest(), r.forks.oldest())
	n := 0
	for n < len(r.parked) && r.parked[n].seq < oldest {
		n++
	}
	r.counters.Dropped += n
	r.parked = slices.Delete(r.parked, 0, n)
	if cap(r.parked) > max(keepParked, 4*len(r.parked)) {
		r.parked = append([]parkedExit(nil), r.parked...) // slices.Clone keeps hold of an empty slice's array
	}
}
