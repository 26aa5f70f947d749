package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// errInterrupted is how a move ends that Close has interrupted.
var errInterrupted = errors.New("interrupted")

// state is what a move waits for, or how it ended.
type state uint8

const (
	wantSource state = iota // the source is empty
	wantSink                // the sink is full
	again                   // neither: something else is to be looked at first
	atEOF                   // the source's writers are gone and all is moved
	failed                  // see err
)

// mover moves pages from one pipe to another. One goroutine uses it, but for the counter and closing.
//
// A splice that would block does not say which of the two pipes it is for, and it waits for the lock of a pipe in which somebody copies. So the pipes are
// looked at by poll, which takes no lock, while the waiting has been prepared already: a change right after the look is not missed, although the poller is
// edge-triggered.
type mover struct {
	src     *source
	dst     *end
	far     int           // the sink's read end, borrowed; -1 if we have none
	closing *atomic.Bool  // set by Close before it interrupts
	moved   atomic.Uint64 // bytes

	err  error
	size int // of both pipes, as far as it is known

	heavy, light int       // splices that moved much, or little, without one of the other kind between
	gathered     int       // bytes moved by the light ones
	since        time.Time // of the first of the light ones
	floodNeed    int       // light ones that make a flood
	heavyNeed    int       // heavy ones that make one when the pipes cannot grow further
	st           state
	onSource     func(uintptr) bool // kept, so that a wait allocates nothing
	onSink       func(uintptr) bool
}

func newMover(src *source, dst *end, far int, closing *atomic.Bool) *mover {
	m := &mover{src: src, dst: dst, far: far, closing: closing, size: pipeSmall, floodNeed: floodMin, heavyNeed: heavyMin}
	m.onSource = func(uintptr) bool { m.st = m.step(); return m.st != wantSource }
	m.onSink = func(uintptr) bool { m.st = m.step(); return m.st != wantSink }
	return m
}

// run moves until the source has ended (nil), Close interrupts (errInterrupted) or the sink fails.
func (m *mover) run() error {
	for m.st = wantSource; ; {
		var err error
		switch {
		case m.closing.Load():
			return errInterrupted
		case m.flooded():
			m.st, err = m.flood()
		case m.st == wantSource || m.st == again:
			m.armShrink()
			err = m.src.end.raw.Read(m.onSource)
		case m.st == wantSink:
			err = m.dst.raw.Write(m.onSink)
		case m.st == atEOF:
			return nil
		default:
			return m.err
		}
		if err = m.waited(err); err != nil {
			return err
		}
	}
}

// waited tells the ends of a wait apart.
func (m *mover) waited(err error) error {
	switch {
	case err == nil:
		return nil
	case m.closing.Load():
		return errInterrupted
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.shrink()
		return nil
	case m.st == wantSink: // the poller reports a pipe without readers as an error of its own
		return fmt.Errorf("write to %s: %w", m.dst.file.Name(), unix.EPIPE)
	}
	return fmt.Errorf("wait for %s: %w", m.src.name, err)
}

// step moves what can be moved without waiting.
func (m *mover) step() state {
	fd := m.src.end.fd
	for !m.closing.Load() {
		n, st := m.splice(fd)
		if n == 0 {
			return st
		}
		if m.weigh(n); m.flooded() {
			break
		}
	}
	return again
}

// splice moves up to a pipe's worth. With 0 bytes the state says why.
func (m *mover) splice(fd int) (int, state) {
	for {
		if st := m.look(fd); st != again {
			return 0, st
		}
		n, err := unix.Splice(fd, nil, m.dst.fd, nil, spliceMax, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch {
		case n > 0:
			m.moved.Add(uint64(n))
			return int(n), wantSource
		case err == nil:
			return 0, atEOF
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // somebody else uses the sink
		default:
			m.err = fmt.Errorf("write to %s: %w", m.dst.file.Name(), err)
			return 0, failed
		}
	}
}

// look tells what is to be waited for, or again if bytes can move. A sink without readers is for splice to find out.
func (m *mover) look(fd int) state {
	p := [2]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(m.dst.fd), Events: unix.POLLOUT}}
	poll(p[:])
	in, out := p[0].Revents, p[1].Revents
	switch {
	case in == unix.POLLHUP && buffered(fd) == 0: // alone it is not the end: the kernel looks for bytes first, for writers after
		return atEOF
	case in == 0:
		return wantSource
	case in&unix.POLLIN != 0 && out == 0:
		return wantSink
	}
	return again
}

// weigh grows the pipes of a heavy stream and notices a flood of small writes.
func (m *mover) weigh(n int) {
	if n >= lightMax {
		m.light = 0
		if n < m.size/2 {
			return
		}
		if m.heavy++; m.size < pipeHuge && m.heavy >= heavyMin {
			m.heavy = 0
			m.grow(m.src.end.fd)
		}
		return
	}
	m.heavy = 0
	if m.light == 0 {
		m.gathered = 0
		m.since = time.Now()
	}
	m.light++
	m.gathered += n
	if m.light < m.floodNeed {
		return
	}
	if time.Since(m.since) > time.Duration(m.light)*floodGap {
		m.light = 0
	}
}

// grow makes the pipes the next size larger, and reports whether it could.
func (m *mover) grow(fd int) bool {
	before := m.size
	switch m.size {
	case pipeSmall:
		m.resize(fd, pipeLarge)
	case pipeLarge:
		m.resize(fd, pipeHuge)
	}
	return m.size > before
}

// resize sets the size of both pipes; fd is the source's.
func (m *mover) resize(fd, size int) {
	m.size = min(setPipeSize(fd, size), setPipeSize(m.dst.fd, size))
}

// armShrink makes the coming wait end after a while, if the pipes have been grown.
func (m *mover) armShrink() {
	if m.size > pipeSmall {
		_ = m.src.end.file.SetReadDeadline(time.Now().Add(shrinkAfter)) // closed: the wait says so
		m.reinterrupt()
	}
}

// reinterrupt repeats the interruption that Close has made if a deadline set since has undone it.
func (m *mover) reinterrupt() {
	if m.closing.Load() {
		m.src.end.interrupt()
	}
}

// shrink gives the pages back that a silent stream was once granted: the kernel counts them for the whole user, who has 64 MiB by default.
func (m *mover) shrink() {
	m.resize(m.src.end.fd, pipeSmall)
	m.size = pipeSmall // what could not be made smaller is not asked for again
	m.heavy, m.light, m.floodNeed, m.heavyNeed = 0, 0, floodMin, heavyMin
	_ = m.src.end.file.SetReadDeadline(time.Time{}) // closed: the next wait says so
	m.reinterrupt()
}
