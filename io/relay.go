package stdio

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Tuning, from the measurements in docs/performance.md.
const (
	spliceMax   = 1 << 20                // asked of one splice; a pipe holds no more
	heavyBytes  = 256 << 10              // a stream that has moved so much without a pause gets larger pipes
	heavyPipe   = 1 << 20                // bytes of a large pipe
	smallSplice = 16 << 10               // a splice below this is a small one
	smallBurst  = 64                     // so many small ones,
	smallWithin = 100 * time.Millisecond // in so short a time, are a stream of small writes: the poller is left
	napBelow    = 64 << 10               // with less than this in the pipe such a stream is left to gather
	emptyNaps   = 5                      // so many looks at an empty pipe in a row end the gathering
)

// relay moves pages from one pipe to another until the source ends.
type relay struct {
	src, dst *end
	moved    atomic.Uint64 // bytes

	// The goroutine's own:
	burst   int       // bytes since the source was last found empty
	grown   bool      // the pipes are large
	small   int       // small splices in a row
	since   time.Time // of the first of them
	off     bool      // src is off the poller
	emptied int       // looks at an empty pipe in a row, while off
}

// outcome is where a relay stands when it can go no further.
type outcome uint8

const (
	moving    outcome = iota
	needData          // the source is empty
	needSpace         // the sink is full
	atEnd             // the source has ended
	broken            // the sink takes nothing any more, or a wait was stopped
)

// run returns nil at the end of the source, and an error when the sink is broken or the relay was stopped.
func (r *relay) run() error {
	var err error
	state := moving
	step := func(blocked outcome) func() bool {
		return func() bool {
			state, err = r.step()
			return state != blocked
		}
	}
	for {
		switch state {
		case atEnd, broken:
			return err
		case needData:
			if r.nap() {
				state, err = r.step()
				continue
			}
			if werr := r.src.readable(step(needData)); werr != nil {
				return werr
			}
		case needSpace:
			if werr := r.dst.writable(step(needSpace)); werr != nil {
				return werr
			}
		default:
			state, err = r.step()
		}
		if r.src.stopped.Load() {
			return errStopped
		}
	}
}

var errStopped = errors.New("stream was closed")

// step moves what can be moved now.
func (r *relay) step() (outcome, error) {
	for !r.src.stopped.Load() {
		n, err := unix.Splice(r.src.fd, nil, r.dst.fd, nil, spliceMax, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return r.blocked(), nil
		case err != nil:
			return broken, err
		case n == 0:
			return atEnd, nil
		default:
			if r.account(int(n)) {
				return needData, nil
			}
		}
	}
	return broken, errStopped
}

// blocked tells which side EAGAIN was about.
func (r *relay) blocked() outcome {
	if r.src.buffered() > 0 {
		if r.dst.canTake() {
			return moving // it was the other side a moment ago
		}
		return needSpace
	}
	r.burst = 0
	return needData
}

// account counts n bytes and adapts. It returns true when a stream of small writes is to be left to gather.
func (r *relay) account(n int) bool {
	r.moved.Add(uint64(n))
	r.emptied = 0
	if r.burst += n; r.burst > heavyBytes && !r.grown {
		r.grown = true
		r.src.grow()
		r.dst.grow()
	}
	if r.off {
		return r.src.buffered() < napBelow
	}
	if n >= smallSplice {
		r.small = 0
		return false
	}
	if r.small == 0 {
		r.since = time.Now()
	}
	if r.small++; r.small < smallBurst {
		return false
	}
	r.small = 0
	r.off = time.Since(r.since) < smallWithin && r.src.detach() == nil
	if r.off && !r.grown {
		r.grown = true
		r.src.grow()
		r.dst.grow()
	}
	return r.off
}

// nap lets small writes gather while the source is off the poller, and puts it back when they have ceased. It returns false when it is on it.
func (r *relay) nap() bool {
	if !r.off {
		return false
	}
	if r.emptied++; r.emptied > emptyNaps {
		r.off = false
		return false
	}
	time.Sleep(napTime)
	return true
}
