package shim

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// quietAfter is how long nothing must have happened before memory goes back to the system: longer than the pauses within a burst of requests.
	quietAfter = time.Second
	// shedMax bounds the shedding.
	shedMax = 64
)

// quiet gives threads and memory back to the system once the work is over. There is no tick: a shim that idles does not wake up (docs/decisions/0019).
type quiet struct {
	mu sync.Mutex
	// mu guards:
	busy    int // requests in work, but for those that only wait
	stopped bool
	timer   *time.Timer
}

func newQuiet() *quiet {
	q := &quiet{}
	q.timer = time.AfterFunc(quietAfter, q.rest)
	return q
}

// stir tells that something has happened.
func (q *quiet) stir() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy == 0 && !q.stopped {
		q.timer.Reset(quietAfter)
	}
}

// begin tells that work begins; end is to follow.
func (q *quiet) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy++
	q.timer.Stop()
}

func (q *quiet) end() {
	q.mu.Lock()
	q.busy--
	q.mu.Unlock()
	q.stir()
}

func (q *quiet) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.timer.Stop()
}

// rest is the timer's function. Nothing is in work: above all no runtime that would get its Pdeathsig from the thread that forked it.
func (q *quiet) rest() {
	q.mu.Lock()
	busy := q.busy > 0 || q.stopped
	q.mu.Unlock()
	if busy {
		return
	}
	shed()
	if collected() {
		runtime.GC() // pools (sync.Pool) keep what they hold over one collection
		debug.FreeOSMemory()
	}
}

// collected tells whether the heap has ever grown to where a collection starts (gcPercent). Before that there is next to nothing to free: a whole life of a task
// leaves 0.3 MB, of which 0.08 are garbage, and a first collection costs 0.3 MB of the Go runtime's own tables, which stay. (runtime.ReadMemStats would cost 0.4.)
func collected() bool {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	return stats.NumGC > 0
}

// shed ends the threads that a burst has left, until the runtime has to make a new one for want of another. It keeps every thread it has made; only a goroutine that
// ends while it is locked to one takes it along. The stacks of ended threads are freed when the next one is made.
func shed() {
	for range shedMax {
		before, _ := runtime.ThreadCreateProfile(nil)
		ended := make(chan struct{})
		go endThread(ended)
		<-ended
		if after, _ := runtime.ThreadCreateProfile(nil); after >= before {
			return
		}
	}
}

// endThread ends the thread that it runs on.
func endThread(ended chan<- struct{}) {
	runtime.LockOSThread()
	close(ended)
}
