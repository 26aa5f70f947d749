package harness

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

const (
	eventTimeout = 30 * time.Second
	markTopic    = "/e2e/mark" // the harness's own event, which shows that a subscription has begun
)

// A Recording keeps the daemon's events, in the order in which they came.
type Recording struct {
	c  *Case
	mu sync.Mutex // guards what follows
	// marked is whether the harness's own event was seen.
	marked bool
	events []Event
	err    error
}

// Record subscribes to the daemon's events. It returns when the subscription is known to work.
func (c *Case) Record() *Recording {
	c.T.Helper()
	r := c.RecordFromBoot()
	c.Eventually(eventTimeout, func() bool {
		r.mu.Lock()
		marked := r.marked
		r.mu.Unlock()
		return marked || c.D.Client.EventService().Publish(c.Ctx, markTopic, &apievents.NamespaceCreate{Name: "mark"}) != nil
	}, func() string { return "no event arrives" })
	return r
}

// RecordFromBoot subscribes to the events of a daemon that is down: as soon as it serves, it is asked.
func (c *Case) RecordFromBoot() *Recording {
	r := &Recording{c: c}
	ctx, cancel := context.WithCancel(c.Ctx)
	var following sync.WaitGroup
	following.Go(func() { r.follow(ctx) })
	c.T.Cleanup(func() { cancel(); following.Wait() })
	return r
}

// follow keeps what arrives until the subscription ends. Record's clean-up waits for it.
func (r *Recording) follow(ctx context.Context) {
	envelopes, errs := r.c.D.Client.EventService().Subscribe(ctx, "namespace=="+r.c.D.Namespace)
	for {
		select {
		case e := <-envelopes:
			r.keep(e)
		case err := <-errs:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.err = err
			return
		}
	}
}

func (r *Recording) keep(e *events.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Topic == markTopic {
		r.marked = true
		return
	}
	name, isTask := strings.CutPrefix(e.Topic, "/tasks/")
	if !isTask {
		return
	}
	value, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		r.err = err
		return
	}
	event := Event{Name: name, At: e.Timestamp}
	event.fill(value)
	r.events = append(r.events, event)
}

// Of returns the events of a container so far.
func (r *Recording) Of(container string) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(e Event) bool { return e.Container != container })
}

// Names returns the events of a container so far, as "start", or "exit exec" for those of an exec.
func (r *Recording) Names(container string) []string {
	var names []string
	for _, e := range r.Of(container) {
		names = append(names, strings.TrimSpace(e.Name+" "+e.Exec))
	}
	return names
}

// Await waits for an event of a container, named as in Names, and returns it.
func (r *Recording) Await(container, name string) Event {
	r.c.T.Helper()
	var found Event
	r.c.Eventually(eventTimeout, func() bool {
		i := slices.Index(r.Names(container), name)
		if i >= 0 {
			found = r.Of(container)[i]
		}
		return i >= 0
	}, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return "no event " + name + ", subscription's error: " + errorText(r.err) + ", events: " + strings.Join(namesOf(r.events), ", ")
	})
	return found
}

func namesOf(all []Event) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Container+" "+e.Name+" "+e.Exec)
	}
	return names
}

func errorText(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}
