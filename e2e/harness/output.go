package harness

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

const outputTimeout = 30 * time.Second // for a text that a process is about to write

// An Output keeps what a process wrote. It may be written and read at the same time.
type Output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns everything that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// WaitFor waits until the output contains text.
func (o *Output) WaitFor(c *Case, text string) {
	c.T.Helper()
	c.Eventually(outputTimeout, func() bool { return strings.Contains(o.String(), text) }, func() string {
		return "output has no " + text + ": " + o.String()
	})
}

// Eventually waits until condition holds, and fails the test with what complaint says when it never does.
func (c *Case) Eventually(limit time.Duration, condition func() bool, complaint func() string) {
	c.T.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) || c.Ctx.Err() != nil {
			c.T.Fatalf("after %v: %s", limit, complaint())
		}
		time.Sleep(pollInterval)
	}
}
