package stdio

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's poll looks for bytes first and for writers after, without a lock: a writer that writes and closes in between leaves POLLHUP without
// POLLIN, and bytes in the pipe. That was taken for the end.
func TestLastBytesOfAWriterThatClosesAtOnceAreNotTakenForTheEnd(t *testing.T) {
	if raceEnabled {
		t.Skip("too slow to meet the moment")
	}
	_, sink, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sink)
	var next atomic.Int64 // the write end of the next pipe, 0 when it is taken, -1 at the end: a channel would be too slow to meet the moment
	defer next.Store(-1)
	go func() {
		for w := next.Load(); w >= 0; w = next.Load() {
			if w > 0 {
				next.Store(0)
				_, _ = unix.Write(int(w), []byte("x")) // its reader is there: the test closes it last
				unix.Close(int(w))
			}
		}
	}()
	pipes := 0
	for begun := time.Now(); time.Since(begun) < 2*time.Second; pipes++ {
		r, w, err := newPipe()
		if err != nil {
			t.Fatal(err)
		}
		m := &mover{dst: &end{fd: sink}}
		next.Store(int64(w))
		st := m.look(r)
		for ; st == wantSource; st = m.look(r) {
		}
		if st == atEOF {
			t.Fatalf("pipe %d: the end, with %d bytes in the pipe", pipes, buffered(r))
		}
		for events(r, unix.POLLIN)&unix.POLLHUP == 0 { // closed: the next may come
		}
		unix.Close(r)
	}
	t.Logf("%d pipes", pipes)
}
