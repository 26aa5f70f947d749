package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
	"golang.org/x/sys/unix"
)

func TestEveryByteReachesTheReader(t *testing.T) {
	for _, total := range []int{0, 1, 4095, 65536, 65537, 1 << 20, 64 << 20} {
		for _, chunk := range []int{100, 4096, 256 << 10, -5000} {
			if total > 1<<20 && chunk == 100 {
				total /= 16 // small writes are slow
			}
			t.Run(fmt.Sprintf("%d in %d", total, chunk), func(t *testing.T) {
				leak.Check(t)
				path := mkfifo(t, "out")
				s := open(t, Config{Stdout: path})
				got := readAll(t, path)
				p := start(t, s, fmt.Sprintf("write %d %d 1", total, chunk))
				p.wait(s)
				finish(t, s)
				expect(t, "stdout", got, produced(total))
			})
		}
	}
}

func TestBothStreamsAreApart(t *testing.T) {
	leak.Check(t)
	out, stderr := mkfifo(t, "out"), mkfifo(t, "err")
	s := open(t, Config{Stdout: out, Stderr: stderr})
	gotOut, gotErr := readAll(t, out), readAll(t, stderr)
	p := start(t, s, "write 3000000 -70000 1 2")
	p.wait(s)
	finish(t, s)
	expect(t, "stdout", gotOut, produced(3000000))
	expect(t, "stderr", gotErr, produced(3000000))
}

func TestOneStreamAloneWorks(t *testing.T) {
	for fd, cfg := range map[string]Config{"1": {Stdout: "x"}, "2": {Stderr: "x"}} {
		t.Run(fd, func(t *testing.T) {
			leak.Check(t)
			path := mkfifo(t, "fifo")
			if cfg.Stdout != "" {
				cfg.Stdout = path
			} else {
				cfg.Stderr = path
			}
			s := open(t, cfg)
			got := readAll(t, path)
			p := start(t, s, "sh:echo out && echo err >&2 && echo ok >/dev/fd/"+fd)
			p.wait(s)
			finish(t, s)
			want := map[string]string{"1": "out\nok\n", "2": "err\nok\n"}[fd]
			expect(t, "fd "+fd, got, sumText(want))
		})
	}
}

func TestNullStreamsCanBeWrittenAndRead(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{})
	p := start(t, s, "sh:cat && echo out && echo err >&2")
	p.wait(s)
	finish(t, s)
}

func TestOneFIFOForBothStreamsEndsWithTheLast(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "both")
	s := open(t, Config{Stdout: path, Stderr: path})
	got := readAll(t, path)
	p := start(t, s, "sh:echo out; exec >&-; sleep 0.2; echo err >&2")
	p.wait(s)
	finish(t, s)
	expect(t, "both", got, sumText("out\nerr\n"))
}

func TestReaderMayComeLate(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	p := start(t, s, "write 1000000 4096 1")
	until(t, "the pipe is full", func() bool { return s.outs[0].progress() >= pipeSmall })
	got := readAll(t, path)
	p.wait(s)
	finish(t, s)
	expect(t, "stdout", got, produced(1000000))
}

// The process wrote a little and ended before anybody opened the FIFO: the bytes stay, and the late reader sees their end.
func TestReaderMayComeAfterTheEnd(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	p := start(t, s, "sh:echo late")
	p.wait(s)
	if err := s.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	got := readAll(t, path)
	expect(t, "stdout", got, sumText("late\n"))
	finish(t, s)
}

func TestCloseEndsTheWaitForALateReader(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	p := start(t, s, "sh:echo never read")
	p.wait(s)
	finish(t, s)
}

func TestReaderMayLeaveAndComeBack(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	first, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, s, "write 2000000 -9000 1")
	b := make([]byte, 500000)
	if _, err := io.ReadFull(first, b); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	got := sumOf(r)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, second); err != nil {
		t.Fatal(err)
	}
	w.Close()
	second.Close()
	p.wait(s)
	finish(t, s)
	expect(t, "both readers together", got, produced(2000000))
}

// Many clients open the FIFO at the very moment when the stream ends: every one of them gets an end of file.
func TestReaderInFlightAtTheEndIsNotLeftAlone(t *testing.T) {
	leak.Check(t)
	for range 100 {
		path := filepath.Join(t.TempDir(), "out")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Config{Stdout: path})
		w, err := unix.Dup(int(s.Files()[1].Fd()))
		if err != nil {
			t.Fatal(err)
		}
		attach(t, s)
		if _, err := unix.Write(w, []byte("tail")); err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			f, err := os.Open(path)
			if err != nil {
				got <- err.Error()
				return
			}
			sum, _ := checksum(f)
			f.Close()
			got <- sum
		}()
		unix.Close(w)
		expect(t, "reader", got, sumText("tail"))
		finish(t, s)
	}
}

func TestStalledStreamStallsNoOther(t *testing.T) {
	leak.Check(t)
	out, stderr, in := mkfifo(t, "out"), mkfifo(t, "err"), mkfifo(t, "in")
	s := open(t, Config{Stdin: in, Stdout: out, Stderr: stderr})
	gotErr := readAll(t, stderr)
	p := start(t, s, "stall 3000000")
	expect(t, "stderr", gotErr, produced(3000000)) // while stdout is stalled
	got := readAll(t, out)
	s.CloseStdin()
	p.wait(s)
	finish(t, s)
	select {
	case <-got:
	case <-time.After(patience):
		t.Fatal("stdout never ends")
	}
}

// Field report F35: output that nobody reads must not pile up here.
func TestOutputWithoutReaderCostsNoMemory(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	p := start(t, s, "sh:exec yes")
	until(t, "both pipes are full", func() bool { return stuck(s.outs[0]) })
	before := s.outs[0].progress()
	if before > pipeHuge {
		t.Errorf("%d bytes are buffered", before)
	}
	p.Process.Kill()
	p.Cmd.Wait()
	s.ProcessExited()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRegularFileIsAppendedTo(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Stdout: path, Stderr: path})
	p := start(t, s, "sh:echo out; sleep 0.1; echo err >&2")
	p.wait(s)
	finish(t, s)
	if got := readFile(t, path); got != "old\nout\nerr" {
		t.Errorf("got %q", got)
	}
}

func TestFullDiskDoesNotStopTheProcess(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Stdout: "/dev/full"})
	p := start(t, s, "write 1000000 4096 1")
	p.wait(s)
	if err := s.Drain(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("drain: %v, want ENOSPC", err)
	}
	if n := s.outs[0].dropped.Load(); n != 1000000 {
		t.Errorf("dropped %d bytes, want 1000000", n)
	}
	if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close: %v, want ENOSPC", err)
	}
}

func TestOpenRefusesBadInput(t *testing.T) {
	leak.Check(t)
	fifo := mkfifo(t, "fifo")
	gone := filepath.Join(t.TempDir(), "gone")
	for name, c := range map[string]struct {
		cfg  Config
		want error
	}{
		"unknown scheme":         {Config{Stdout: "ftp://x"}, ErrInvalid},
		"relative path":          {Config{Stdout: "out"}, ErrInvalid},
		"relative file":          {Config{Stdout: "file://out"}, ErrInvalid},
		"terminal with stderr":   {Config{Terminal: true, Stdout: fifo, Stderr: fifo, Dir: t.TempDir()}, ErrInvalid},
		"missing stdin":          {Config{Stdin: gone}, fs.ErrNotExist},
		"missing stdout":         {Config{Stdin: fifo, Stdout: gone}, fs.ErrNotExist},
		"missing stderr":         {Config{Stdout: fifo, Stderr: gone}, fs.ErrNotExist},
		"two loggers":            {Config{Stdout: "binary:///a", Stderr: "binary:///b"}, ErrInvalid},
		"a limit that is none":   {Config{Stdout: "file://" + gone + "?max-size=big"}, ErrInvalid},
		"missing console dir":    {Config{Terminal: true, Dir: gone}, fs.ErrNotExist},
		"nothing to start it by": {Config{Stdout: "binary:///bin/true"}, ErrInvalid},
	} {
		if s, err := Open(context.Background(), c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
			if s != nil {
				s.Close()
			}
		}
	}
	_, err := Open(context.Background(), Config{Stdout: "ftp://x"})
	if want := `unknown STDIO scheme "ftp"`; err == nil || !contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestProcessGetsOwnedBlockingPipes(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Stdin: mkfifo(t, "in"), Stdout: mkfifo(t, "out"), Stderr: mkfifo(t, "err"), UID: 12, GID: 34})
	for i, f := range s.Files() {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
		if err != nil {
			t.Fatal(err)
		}
		if st.Uid != 12 || st.Gid != 34 || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("fd %d: owner %d:%d, flags %#x", i, st.Uid, st.Gid, flags)
		}
	}
}
