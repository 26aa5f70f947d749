package shim

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/wisp-shim/wisp/protos"
)

func TestAFullQueueGivesUpItsOldestEventsButExitsLast(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const limit = 40
	q := newEventQueue(limit)
	exits, dropped := 0, 0
	push := func(topic string) {
		dropped += q.push(event{topic: topic, typeName: strconv.Itoa(exits)})
	}
	push(protos.TopicCreate)
	first, _ := q.first() // in flight: stays
	for exits < limit/2 {
		if rnd.IntN(20) == 0 {
			push(protos.TopicExit)
			exits++
		} else {
			push(protos.TopicStart)
		}
		if n := q.len(); n > limit {
			t.Fatalf("%d events are queued", n)
		}
	}
	if got, _ := q.first(); got.topic != first.topic {
		t.Error("the event in flight was dropped")
	}
	q.done()
	seen := 0
	for e, ok := q.first(); ok; e, ok = q.first() {
		if e.topic == protos.TopicExit {
			if e.typeName != strconv.Itoa(seen) {
				t.Fatalf("exit %s comes as number %d", e.typeName, seen)
			}
			seen++
		}
		q.done()
	}
	if seen != exits {
		t.Errorf("%d exits of %d are left", seen, exits)
	}
	if _, n := q.counts(); n != uint64(dropped) || n == 0 {
		t.Errorf("counted %d dropped, reported %d", n, dropped)
	}
}

func TestAQueueOfExitsAloneIsBoundedToo(t *testing.T) {
	q := newEventQueue(8)
	for i := range 100 {
		q.push(event{topic: protos.TopicExit, typeName: strconv.Itoa(i)})
	}
	if n := q.len(); n > 8 {
		t.Fatalf("%d events are queued", n)
	}
	last := ""
	for e, ok := q.first(); ok; e, ok = q.first() {
		last = e.typeName
		q.done()
	}
	if last != "99" {
		t.Errorf("the newest is %s", last)
	}
}
