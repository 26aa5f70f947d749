package stdio

import (
	"fmt"
	"os"
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
