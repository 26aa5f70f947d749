package stdio

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
	"golang.org/x/sys/unix"
)

// A flood of small writes, with pauses: the stream leaves the poller and comes back, and nothing is lost on the way.
func TestFloodsComeAndGo(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	w, err := unix.FcntlInt(s.Files()[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, s)
	out := os.NewFile(uintptr(w), "out")
	got := readAll(t, path)
	block := text()
	for at := 0; at < 12<<20; {
		n := min(100, len(block)-at%len(block), 12<<20-at)
		if _, err := out.Write(block[at%len(block):][:n]); err != nil {
			t.Fatal(err)
		}
		if at += n; at%(3<<20) < 100 {
			time.Sleep(10 * floodNap) // a pause: the flood ends
		}
	}
	out.Close()
	s.ProcessExited()
	finish(t, s)
	expect(t, "stdout", got, produced(12<<20))
}

// A flood of large writes is emptied by the clock, to its end or to where it is none any more, and nothing is lost.
func TestBulkReachesItsEnd(t *testing.T) {
	leak.Check(t)
	m, w, r := bulkMover(t)
	data := bytes.Repeat(text(), 16<<20/len(text()))
	go func() {
		defer w.Close()
		for piece := range slices.Chunk(data, 256<<10) {
			_, _ = w.Write(piece) // a mover that stops is seen by its result
		}
	}()
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r) // what is missing is seen by the comparison
		got <- b
	}()
	err := m.run()
	m.dst.close()
	b := <-got
	r.Close()
	if err != nil || !bytes.Equal(b, data) {
		t.Errorf("error %v, %d bytes of %d", err, len(b), len(data))
	}
}

// Who writes no more than the poller can bear, and a reader that has stopped, end the flood: nobody naps for ever.
func TestBulkEndsWhenNothingMoves(t *testing.T) {
	leak.Check(t)
	m, w, r := bulkMover(t)
	if st, err := m.flood(); st != wantSource || err != nil || m.src.end == nil {
		t.Errorf("with an empty source: state %d, error %v", st, err)
	}
	if m.heavyNeed <= heavyMin {
		t.Error("a flood that was none makes the next as easy")
	}
	for _, fd := range []int{m.dst.fd, int(w.Fd())} {
		if n, err := unix.Write(fd, make([]byte, pipeHuge)); n != pipeHuge || err != nil {
			t.Fatal(n, err)
		}
	}
	m.heavy = m.heavyNeed
	if st, err := m.flood(); st != wantSink || err != nil {
		t.Errorf("with a full sink: state %d, error %v", st, err)
	}
	w.Close()
	r.Close()
	m.dst.close()
}

// bulkMover is a mover before a flood of large writes, with the source's writer and the sink's reader. The caller closes those, and the sink.
func bulkMover(t *testing.T) (m *mover, w, r *os.File) {
	t.Helper()
	var ends [4]int
	var err error
	for i := 0; i < 4; i += 2 {
		if ends[i], ends[i+1], err = newPipe(); err != nil {
			t.Fatal(err)
		}
		if n := setPipeSize(ends[i], pipeHuge); n != pipeHuge {
			t.Fatalf("pipes may have %d bytes only", n)
		}
	}
	src, err := newEnd(ends[0], "source")
	if err != nil {
		t.Fatal(err)
	}
	dst, err := newEnd(ends[3], "sink")
	if err != nil {
		t.Fatal(err)
	}
	r = os.NewFile(uintptr(ends[2]), "reader")
	m = newMover(newSource(src, "source"), dst, ends[2], new(atomic.Bool))
	m.size, m.heavy = pipeHuge, heavyMin
	t.Cleanup(m.src.close)
	return m, os.NewFile(uintptr(ends[1]), "writer"), r
}

// Two that answer each other line by line must not be slowed down as a flood is.
func TestDialogueIsNotTakenForAFlood(t *testing.T) {
	if raceEnabled {
		t.Skip("too slow to look like a flood")
	}
	leak.Check(t)
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	s := open(t, Config{Stdin: in, Stdout: out})
	start(t, s, "cat")
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const rounds = 5000
	b := make([]byte, 100)
	begin := time.Now()
	for range rounds {
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	if mean := time.Since(begin) / rounds; mean > floodNap {
		t.Errorf("a round takes %v", mean)
	}
	s.Close()
}

// A stream that was heavy gives its pages back when it falls silent.
func TestHeavyPipesShrinkAgain(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	got := readAll(t, path)
	p := start(t, s, fmt.Sprintf("write %d %d 1", 64<<20, 256<<10))
	p.wait(s)
	finish(t, s)
	expect(t, "stdout", got, produced(64<<20))
	m := s.outs[0].mover
	if m.size == pipeSmall {
		t.Error("the pipes of a heavy stream were not grown")
	}
	var err error
	if m.dst, err = newEnd(pipeEnd(t), "sink"); err != nil {
		t.Fatal(err)
	}
	defer m.dst.close()
	e, err := newEnd(pipeEnd(t), "source")
	if err != nil {
		t.Fatal(err)
	}
	m.src = newSource(e, "source")
	defer m.src.close()
	m.shrink()
	if n, err := unix.FcntlInt(uintptr(e.fd), unix.F_GETPIPE_SZ, 0); n != pipeSmall || err != nil {
		t.Errorf("size %d %v", n, err)
	}
}

// pipeEnd is one end of a grown pipe.
func pipeEnd(t *testing.T) int {
	t.Helper()
	r, w, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(w)
	setPipeSize(r, pipeLarge)
	return r
}
