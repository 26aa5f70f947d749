package stdio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Drain waits until all that the process wrote has been handed on. Called when the process is gone, it returns
//   - when every output has reached its end of file and all bytes are in their sinks;
//   - or when those that have not have been silent for a second: a child of the process may hold them for ever;
//   - or when ctx has ended or five seconds are over. If bytes of the process are left then, the error says which stream's, and who holds it.
//
// Bytes in a FIFO are handed on, whether it has a reader or not.
func (s *Streams) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainMax)
	defer cancel()
	s.mu.Lock()
	attached := s.attached
	s.mu.Unlock()
	if !attached {
		return nil
	}
	var watches []*watch
	for _, o := range s.outs {
		watches = append(watches, newWatch(o))
	}
	tick := time.NewTicker(drainQuiet / 4)
	defer tick.Stop()
	for _, w := range watches {
		if err := s.drainOne(ctx, w, watches, tick.C); err != nil {
			return err
		}
	}
	return nil
}

// drainOne waits for one output, and keeps watch over all of them meanwhile.
func (s *Streams) drainOne(ctx context.Context, w *watch, all []*watch, tick <-chan time.Time) error {
	for {
		if s.exited.Load() && w.quiet() {
			return nil
		}
		select {
		case <-w.handed:
			return w.failure()
		case <-tick:
			for _, o := range all {
				o.look()
			}
		case <-ctx.Done():
			if s.exited.Load() && w.own() {
				return nil
			}
			return fmt.Errorf("drain %s: %d bytes are left%s: %w", w.name, w.src.pending(), holder(w.src.inode()), ctx.Err())
		}
	}
}

// watch is an output that is being drained.
type watch struct {
	*output
	enough  uint64 // where progress stands when all is handed on that was in the pipe at the beginning
	seen    uint64
	changed time.Time
}

func newWatch(o *output) *watch {
	// The order matters: what moves in between is counted twice, not missed.
	pending := o.src.pending()
	w := &watch{output: o, changed: time.Now(), seen: o.progress()}
	w.enough = w.seen + uint64(pending)
	return w
}

func (w *watch) look() {
	if n := w.progress(); n != w.seen || w.src.pending() > 0 {
		w.seen, w.changed = n, time.Now()
	}
}

// quiet reports whether the output has had nothing to move for a while.
func (w *watch) quiet() bool { return time.Since(w.changed) >= drainQuiet }

// own reports whether all is handed on that a process wrote which was gone before the watch began.
func (w *watch) own() bool { return w.progress() >= w.enough }

func (w *watch) failure() error {
	if w.err == nil {
		return nil
	}
	return fmt.Errorf("%w (%d bytes dropped)", w.err, w.dropped.Load())
}

// holder finds another process that has the pipe open, and says so in words; nothing if there is none to be found.
func holder(inode uint64) string {
	if inode == 0 {
		return ""
	}
	want := fmt.Sprintf("pipe:[%d]", inode)
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return ""
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", p.Name())
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // gone, or not ours to look at
		}
		for _, fd := range fds {
			if link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err != nil || link != want {
				continue
			}
			comm, err := os.ReadFile(filepath.Join(dir, "comm"))
			if err != nil {
				return fmt.Sprintf(", held by pid %d", pid)
			}
			return fmt.Sprintf(", held by pid %d (%s)", pid, strings.TrimSpace(string(comm)))
		}
	}
	return ""
}
