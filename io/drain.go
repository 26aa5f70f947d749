package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Drain returns when what the process wrote is in the sinks. It is for after the process's death, before Close.
//
// A stream is done at its end. One that somebody else keeps open, such as a child in the background, is done when it has been empty for a moment: all that the
// process itself wrote is out of it then. A sink that takes nothing is waited for, but not for longer than drainMax or ctx; the error then names the stream and
// who holds it.
func (s *Streams) Drain(ctx context.Context) error {
	s.mu.Lock()
	attached := s.attached && !s.closed
	s.mu.Unlock()
	if !attached {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainMax)
	defer cancel()
	var err error
	for _, o := range s.outputs {
		if derr := drain(ctx, o.name, o.ended, func() (uint64, int) { return o.relay.moved.Load(), o.relay.src.buffered() }); derr != nil {
			err = errors.Join(err, fmt.Errorf("%w%s", derr, holders(o.relay.src)))
		}
		err = errors.Join(err, o.err())
	}
	if t := s.term; t != nil {
		err = errors.Join(err, drain(ctx, "terminal", t.ended, func() (uint64, int) { return t.moved.Load(), 0 }), t.err())
	}
	return err
}

// drain waits for one stream. look tells how much has been moved and how much waits.
func drain(ctx context.Context, name string, ended <-chan struct{}, look func() (moved uint64, waiting int)) error {
	timer := time.NewTimer(drainQuiet)
	defer timer.Stop()
	last, _ := look()
	for {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			_, waiting := look()
			return fmt.Errorf("drain %s: %w: %d bytes are left: %w", name, errHeld, waiting, ctx.Err())
		case <-timer.C:
		}
		moved, waiting := look()
		if waiting == 0 && moved == last {
			return nil
		}
		last = moved
		timer.Reset(drainLook)
	}
}

// holders names who has a pipe open besides us, as far as /proc tells: ", held by 123 (sh)".
func holders(e *end) string {
	e.mu.Lock()
	fd := e.fd
	e.mu.Unlock()
	self := strconv.Itoa(os.Getpid())
	pipe, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return ""
	}
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		pid := strings.Split(link, "/")[2]
		if target, _ := os.Readlink(link); target != pipe || pid == self {
			continue
		}
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		if who := pid + " (" + strings.TrimSpace(string(name)) + ")"; len(found) == 0 || found[len(found)-1] != who {
			found = append(found, who)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return ", held by " + strings.Join(found, ", ")
}
