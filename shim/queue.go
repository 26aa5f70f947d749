package shim

import (
	"sync"
	"time"

	"github.com/wisp-shim/wisp/protos"
)

const (
	queueLimit = 65536 // events that may wait: about 15 MB at the most, and days of a container's life
	queueBatch = 256   // events that give way at once when the queue is full, so that an overflow costs little per event
)

// event is one event, marshalled, on its way to the manager.
type event struct {
	at       time.Time
	topic    string
	typeName string
	value    []byte
}

// eventQueue keeps events in order and within a bound. When it is full the oldest events other than exits give way, and
// exits only when there is nothing else: a lost exit leaves a container that looks alive for ever.
type eventQueue struct {
	limit int
	wake  chan struct{} // capacity 1: an event has come

	mu sync.Mutex
	// mu guards what follows.
	events  []event // events[0] may be in flight
	flying  bool    // events[0] was handed out by first and not yet ended by done
	dropped uint64
	empty   chan struct{} // closed when the queue runs empty; nil when nobody waits
}

func newEventQueue(limit int) *eventQueue {
	return &eventQueue{limit: limit, wake: make(chan struct{}, 1)}
}

// push appends e and returns how many events gave way to it.
func (q *eventQueue) push(e event) int {
	q.mu.Lock()
	dropped := 0
	if len(q.events) >= q.limit {
		dropped = q.shrinkLocked()
	}
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return dropped
}

// shrinkLocked removes a batch of events, never the one in flight.
func (q *eventQueue) shrinkLocked() int {
	batch := max(1, min(queueBatch, q.limit/4))
	start := 0
	if q.flying {
		start = 1
	}
	kept := q.events[:start]
	dropped := 0
	for _, e := range q.events[start:] {
		if dropped < batch && e.topic != protos.TopicExit {
			dropped++
			continue
		}
		kept = append(kept, e)
	}
	if dropped == 0 { // exits alone
		dropped = min(batch, len(q.events)-start)
		kept = append(q.events[:start], q.events[start+dropped:]...)
	}
	clear(q.events[len(kept):])
	q.events = kept
	q.dropped += uint64(dropped)
	return dropped
}

// first returns the oldest event and marks it as in flight.
func (q *eventQueue) first() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return event{}, false
	}
	q.flying = true
	return q.events[0], true
}

// done removes the event in flight.
func (q *eventQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flying = false
	q.events[0] = event{}
	q.events = q.events[1:]
	if len(q.events) > 0 {
		return
	}
	q.events = nil // give the memory back
	if q.empty != nil {
		close(q.empty)
		q.empty = nil
	}
}

// drained returns a channel that is closed as soon as the queue is empty.
func (q *eventQueue) drained() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	ch := q.empty
	if len(q.events) == 0 {
		close(q.empty)
		q.empty = nil
	}
	return ch
}

func (q *eventQueue) len() int {
	n, _ := q.counts()
	return n
}

// counts returns how many events are queued now and how many have been dropped in all.
func (q *eventQueue) counts() (queued int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events), q.dropped
}
