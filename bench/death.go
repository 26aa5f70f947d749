package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// sightings tells when the exit event of a task arrived.
type sightings struct {
	mu sync.Mutex
	// mu guards:
	want map[string]chan time.Time
}

func newSightings() *sightings {
	return &sightings{want: map[string]chan time.Time{}}
}

// watch reads the events until c is closed.
func (s *sightings) watch(c <-chan *protos.Envelope) {
	for e := range c {
		now := time.Now()
		if e.GetTopic() != protos.TopicExit {
			continue
		}
		m, err := launch.DecodeEvent(e)
		if err != nil {
			continue
		}
		exit, ok := m.(*protos.TaskExit)
		if !ok || exit.GetId() != exit.GetContainerId() {
			continue
		}
		s.mu.Lock()
		if c := s.want[exit.GetContainerId()]; c != nil {
			c <- now
		}
		s.mu.Unlock()
	}
}

func (s *sightings) expect(id string) <-chan time.Time {
	c := make(chan time.Time, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want[id] = c
	return c
}

// benchDeath kills init behind the shim's back and times the reply of Wait and the event against a pidfd that is polled here.
func benchDeath(ctx context.Context, l *lab) error {
	for round := range l.rounds {
		for i := range l.contenders {
			if err := l.death(ctx, l.contenders[(round+i)%len(l.contenders)]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) death(ctx context.Context, c contender) error {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	b, err := l.newBox(c, false, idle...)
	if err != nil {
		return err
	}
	if err := b.up(ctx); err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(int(b.pid), 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	event := l.seen.expect(b.id)
	replied := make(chan time.Time, 1)
	go func() {
		_ = b.wait(ctx)
		replied <- time.Now()
	}()
	died := make(chan time.Time, 1)
	go func() {
		_ = pollIn(fd)
		died <- time.Now()
	}()
	time.Sleep(20 * time.Millisecond) // both goroutines are to be blocked in the kernel before the kill
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return fmt.Errorf("kill init: %w", err)
	}
	at := <-died
	l.add("death to Wait", c.name, ms((<-replied).Sub(at)))
	select {
	case seen := <-event:
		l.add("death to event", c.name, ms(seen.Sub(at)))
	case <-ctx.Done():
		return fmt.Errorf("%s: no exit event", c.name)
	}
	return b.down(ctx)
}
