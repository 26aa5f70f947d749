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
	// quietThreads is how many threads an idle shim keeps: the runtime's monitor, the one that receives signals, the one in the poller, and the first.
	quietThreads = 4
	// shedMax bounds the shedding, should the runtime make threads as fast as they go.
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
	runtime.GC() // a pool gives up what it holds at the second collection only
	debug.FreeOSMemory()
}

// shed ends the threads that a burst has left. The Go runtime keeps every thread it has made; only a goroutine that ends while it is locked to one takes it along.
func shed() {
	for range shedMax {
		if n, _ := runtime.ThreadCreateProfile(nil); n <= quietThreads {
			return
		}
		ended := make(chan struct{})
		go endThread(ended)
		<-ended
	}
}

// endThread ends the thread that it runs on.
func endThread(ended chan<- struct{}) {
	runtime.LockOSThread()
	close(ended)
}
