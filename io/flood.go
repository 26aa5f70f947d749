package stdio

import "time"

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

func (m *mover) flooded() bool { return m.light >= m.floodNeed }

// flood moves until the flood is over.
func (m *mover) flood() (state, error) {
	usual := m.gathered / m.light
	m.light = 0
	if m.size == pipeSmall && !m.grow(m.src.end.fd) { // refused: what a nap gathers would not fit
		m.floodNeed = floodCap
		return wantSource, nil
	}
	fd, err := m.src.loosen()
	if err != nil {
		return wantSource, err
	}
	st := m.floodLoop(fd, usual)
	if st == atEOF || st == failed {
		return st, nil
	}
	return st, m.src.fasten()
}

// floodLoop returns when the flood has ended, or there is more of it than small writes alone explain.
func (m *mover) floodLoop(fd, usual int) state {
	naps := 0
	for idle, brimming := 0, 0; idle < floodIdle && !m.closing.Load(); {
		if brimming == 0 {
			time.Sleep(floodNap)
			naps++
		}
		n, st := m.splice(fd)
		switch {
		case n == 0 && st != wantSource:
			return st
		case n > m.size/2 && !m.grow(fd): // the pipe fills before the nap is over: no time to lose
			if brimming++; brimming == heavyMin {
				return again
			}
			continue
		case n < usual*floodGain && brimming == 0:
			idle++
		default:
			idle = 0
		}
		brimming = 0
	}
	if naps < floodMin {
		m.floodNeed = min(m.floodNeed*floodStep, floodCap)
	} else {
		m.floodNeed = floodMin
	}
	return again
}
