package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Counters counts what the shim does and how long it takes, by name ("rpc Create", "runc create"). It is plain memory: a
// dump prints it, and no metrics library is linked for it. The zero value is ready; a nil one counts nothing.
type Counters struct {
	mu sync.Mutex
	// mu guards what follows.
	calls map[string]*calls
}

// calls is what is known of the calls of one name.
type calls struct {
	n, failed, timedOut uint64
	total, longest      time.Duration
}

// Observe counts a call of name that took so long and ended with err.
func (c *Counters) Observe(name string, took time.Duration, err error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = make(map[string]*calls)
	}
	s := c.calls[name]
	if s == nil {
		s = new(calls)
		c.calls[name] = s
	}
	s.n++
	s.total += took
	s.longest = max(s.longest, took)
	if err != nil {
		s.failed++
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.timedOut++
	}
}

// AppendStatus adds a line for every name to b, for a dump.
func (c *Counters) AppendStatus(b []byte) []byte {
	if c == nil {
		return b
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.calls))
	for name := range c.calls {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := c.calls[name]
		mean := s.total / time.Duration(s.n)
		b = fmt.Appendf(b, "%s: calls=%d failed=%d timed_out=%d mean=%s longest=%s\n", name, s.n, s.failed, s.timedOut, mean, s.longest)
	}
	return b
}
