package stdio

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// What makes a stream heavy or flooded. The numbers come from the benchmarks of this package.
const (
	heavyMin  = 8                      // splices in a row that moved at least half of a pipe
	lightMax  = 16 << 10               // bytes: what moves less is a light splice
	floodMin  = 64                     // light splices in a row, at first
	floodStep = 4                      // times as many after a flood that was none
	floodCap  = 1 << 16                // at most
	floodGap  = 100 * time.Microsecond // the longest mean distance of light splices in a flood
	floodGain = 4                      // times as much as a light splice must a nap bring
	floodIdle = 3                      // naps in a row without that gain end the flood
)

// A program that writes 100 bytes at a time, 500,000 times a second, would wake this process for each: the poller is told of every write, and there
// is seldom more to move than a few lines. When that happens the descriptor leaves the poller and the pipe is emptied once a millisecond: the kernel
// packs the lines into pages meanwhile. Measured: half again the throughput, a fifth of the processor time.
//
// A peer that waits for an answer to each line looks the same but for one thing: a nap brings no more than a single splice did. Then the flood is
// called off, and the next must be four times as convincing.
//
// A program that writes large blocks as fast as it can is emptied by the clock as well, but more often. The kernel holds a pipe's lock while it copies a
// block: a splice at the wrong moment spins on it, and that was half of the processor time. After a short nap the pipe is full, its writer asleep, the FIFO
// empty, and a whole pipe moves at once.

// flooded reports whether the pipe is to be emptied by the clock.
func (m *mover) flooded() bool { return m.light >= m.floodNeed || m.bulk() }

// bulk reports whether the pipe, large as it can be, was found full again and again.
func (m *mover) bulk() bool { return m.size == pipeHuge && m.heavy >= m.heavyNeed }

// flood moves until the flood is over.
func (m *mover) flood() (state, error) {
	f := flood{mover: m, nap: bulkNap, enough: pipeHuge / 2}
	if !m.bulk() {
		f.nap, f.enough = floodNap, m.gathered/m.light*floodGain
	}
	m.light, m.heavy = 0, 0
	if m.size == pipeSmall && !m.grow(m.src.end.fd) { // refused: what a nap gathers would not fit
		m.floodNeed = floodCap
		return wantSource, nil
	}
	clock, err := newClock()
	if err != nil { // no descriptor to be had
		m.floodNeed, m.heavyNeed = floodCap, floodCap
		return wantSource, nil
	}
	defer clock.end.close()
	f.clock = clock
	if f.fd, err = m.src.loosen(); err != nil {
		return wantSource, err
	}
	st := f.run()
	if st == atEOF || st == failed {
		return st, nil
	}
	return st, m.src.fasten()
}

// flood is a time during which a pipe is emptied by the clock.
type flood struct {
	*mover
	fd     int // the source, which is not under the poller
	clock  *clock
	nap    time.Duration
	enough int // bytes that a nap must bring
}

// run returns when the flood has ended, or there is more of it than a nap can gather.
func (f *flood) run() state {
	st := again
	naps, idle, brimming := 0, 0, 0
	for idle < floodIdle && !f.closing.Load() {
		if brimming == 0 || f.nap == bulkNap {
			f.rest()
			naps++
		}
		var n int
		n, st = f.splice(f.fd)
		switch {
		case st == atEOF || st == failed:
			return st
		case f.nap == floodNap && n > f.size/2 && !f.grow(f.fd): // the pipe fills before the nap is over
			if brimming++; brimming < heavyMin {
				continue
			}
			if f.size < pipeHuge {
				return again
			}
			f.nap, f.enough = bulkNap, pipeHuge/2
		case n < f.enough && brimming == 0:
			idle++
			continue
		}
		idle, brimming = 0, 0
	}
	f.learn(naps)
	return st
}

// rest takes a nap, and a little more where the sink's reader is not done: it has the lock of the FIFO while it copies.
func (f *flood) rest() {
	f.clock.wait(f.nap)
	if f.nap == bulkNap && events(f.far, unix.POLLIN) != 0 {
		f.clock.wait(bulkMore)
	}
}

// learn makes the next flood of the kind more convincing if this one was none.
func (f *flood) learn(naps int) {
	need, least := &f.floodNeed, floodMin
	if f.nap == bulkNap {
		need, least = &f.heavyNeed, heavyMin
	}
	if naps >= floodMin {
		*need = least
		return
	}
	*need = min(*need*floodStep, floodCap)
}

// clock wakes a goroutine through the poller, the moment that it is due: Go's own timers have a resolution of 1 ms where nothing else runs.
type clock struct {
	end  *end
	nap  time.Duration
	set  bool
	step func(uintptr) bool // kept, so that a wait allocates nothing
}

func newClock() (*clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	e, err := newEnd(fd, "timer")
	if err != nil {
		return nil, err
	}
	c := &clock{end: e}
	c.step = func(fd uintptr) bool {
		if c.set {
			return true
		}
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(c.nap.Nanoseconds())}
		c.set = unix.TimerfdSettime(int(fd), 0, &spec, nil) == nil
		return !c.set
	}
	return c, nil
}

// wait returns when nap is over.
func (c *clock) wait(nap time.Duration) {
	c.nap, c.set = nap, false
	_ = c.end.raw.Read(c.step) // nobody closes or interrupts it
}
