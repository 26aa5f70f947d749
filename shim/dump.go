package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/wisp-shim/wisp/bundle"
)

const (
	dumpFirstSize = 64 << 10 // enough for a hundred goroutines
	dumpMaxSize   = 16 << 20 // stacks beyond this are cut off
)

// Dumper writes what is needed to see why a shim hangs into a file of the bundle, without the daemon and without -debug:
// the stacks of all goroutines and the counters. SIGUSR1 asks for it.
type Dumper struct {
	Dir      string // the bundle
	Log      *Logger
	Sections []func([]byte) []byte // what follows the stacks; each appends lines to its argument
}

// Dump writes the file and says so in the log. The stacks are written first, on their own: a section that hangs on
// a lock does not take them with it.
func (d *Dumper) Dump() error {
	path := filepath.Join(d.Dir, bundle.DumpFile)
	b := fmt.Appendf(nil, "pid %d at %s\n\n", os.Getpid(), time.Now().Format(time.RFC3339Nano))
	b = append(b, allStacks()...)
	b = append(b, "\n\n"...)
	if err := bundle.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write goroutine stacks: %w", err)
	}
	d.Log.Info("goroutine stacks written", "path", path)
	for _, section := range d.Sections {
		b = section(b)
	}
	if err := bundle.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write counters: %w", err)
	}
	return nil
}

// appendMemory adds what the Go runtime holds, in bytes (runtime.MemStats).
func appendMemory(b []byte) []byte {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Appendf(b, "memory: heap live=%d inuse=%d idle=%d released=%d objects=%d stacks=%d/%d mspan=%d/%d mcache=%d gc=%d other=%d collections=%d goroutines=%d\n",
		m.HeapAlloc, m.HeapInuse, m.HeapIdle, m.HeapReleased, m.HeapObjects, m.StackInuse, m.StackSys, m.MSpanInuse, m.MSpanSys,
		m.MCacheSys, m.GCSys, m.OtherSys, m.NumGC, runtime.NumGoroutine())
}

// allStacks returns the stacks of all goroutines.
func allStacks() []byte {
	for size := dumpFirstSize; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= dumpMaxSize {
			return b[:n]
		}
	}
}
