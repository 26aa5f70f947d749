package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
)

func TestEveryByteOfATerminalReachesTheReader(t *testing.T) {
	for _, total := range []int{0, 1, 4097, 1 << 20, 64 << 20} {
		for _, chunk := range []int{100, 65536, -5000} {
			if total > 1<<20 && chunk != 65536 {
				continue
			}
			t.Run(fmt.Sprintf("%d in %d", total, chunk), func(t *testing.T) {
				leak.Check(t)
				path := mkfifo(t, "out")
				s := open(t, Config{Stdout: path, Terminal: true})
				got := readAll(t, path)
				p := startTerminal(t, s, fmt.Sprintf("write %d %d 1", total, chunk))
				p.wait(s)
				finish(t, s)
				expect(t, "terminal", got, produced(total))
			})
		}
	}
}

func TestTerminalOutputGoesToAFileToo(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "a", "b", "log")
	s := open(t, Config{Stdout: "file://" + path, Terminal: true})
	p := startTerminal(t, s, "sh:echo hello")
	p.wait(s)
	finish(t, s)
	if got := readFile(t, path); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestTerminalWithoutStdoutIsReadAllTheSame(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Terminal: true})
	p := startTerminal(t, s, "write 1000000 -9000 1")
	p.wait(s)
	finish(t, s)
}

func TestSizeAskedBeforeAttachIsTheFirstSize(t *testing.T) {
	leak.Check(t)
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	s := open(t, Config{Stdin: in, Stdout: out, Terminal: true})
	if err := s.Resize(123, 45); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, out)
	// The real runtime's process runs only after Attach; this one waits for a line.
	p := startTerminal(t, s, "sh:stty -echo; read x; stty size; read x; stty size")
	send(t, in, "\n")
	if err := s.Resize(200, 50); err != nil {
		t.Fatal(err)
	}
	send(t, in, "\n")
	p.wait(s)
	finish(t, s)
	select {
	case <-got:
	case <-time.After(patience):
		t.Fatal("no end")
	}
}

func send(t *testing.T, path, line string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}

func TestResizeReachesTheTerminal(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Stdout: mkfifo(t, "out"), Terminal: true})
	s.Resize(123, 45)
	p := startTerminal(t, s, "sh:exec sleep 60")
	for _, want := range []size{{123, 45}, {80, 24}} {
		if want.width == 80 {
			if err := s.Resize(80, 24); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.console.tty.Size()
		if err != nil || got.Width != want.width || got.Height != want.height {
			t.Errorf("size %v %v, want %v", got, err, want)
		}
	}
	p.Process.Kill()
	p.Cmd.Wait()
	s.ProcessExited()
	finish(t, s)
}

func TestTerminalInputReachesTheProcessAndEndsWithCloseStdin(t *testing.T) {
	for _, word := range []string{"line\n", "unfinished", ""} {
		t.Run(fmt.Sprintf("%q", word), func(t *testing.T) {
			leak.Check(t)
			in, out := mkfifo(t, "in"), filepath.Join(t.TempDir(), "log")
			s := open(t, Config{Stdin: in, Stdout: "file://" + out, Terminal: true})
			p := startTerminal(t, s, "sh:stty -echo; echo ready; x=$(cat); echo got:$x; echo after")
			until(t, "the process reads", func() bool { return strings.Contains(readFile(t, out), "ready") })
			send(t, in, word)
			s.CloseStdin()
			p.wait(s)
			finish(t, s)
			want := "ready\r\ngot:" + strings.TrimSpace(word) + "\r\nafter"
			if got := readFile(t, out); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A process may close its terminal and open it again: that is not the end. Nor may this process spin meanwhile (field report F16).
func TestTerminalThatNobodyHasOpenIsNotItsEnd(t *testing.T) {
	leak.Check(t)
	out := mkfifo(t, "out")
	s := open(t, Config{Stdout: out, Terminal: true})
	got := readAll(t, out)
	p := startTerminal(t, s, "sh:echo one; t=$(tty); exec <&- >&- 2>&-; sleep 1.5; exec >$t; echo two")
	time.Sleep(200 * time.Millisecond) // into the quiet time; nothing depends on it
	before := cpu()
	time.Sleep(time.Second)
	if used := cpu() - before; used > 200*time.Millisecond {
		t.Errorf("used %v of processor time in a second without work", used)
	}
	p.wait(s)
	finish(t, s)
	expect(t, "terminal", got, sumText("one\r\ntwo\r\n"))
}

func TestHalfClosedStreamsAreIdle(t *testing.T) {
	leak.Check(t)
	in, out, stderr := mkfifo(t, "in"), mkfifo(t, "out"), mkfifo(t, "err")
	s := open(t, Config{Stdin: in, Stdout: out, Stderr: stderr})
	send := func() *os.File {
		f, err := os.OpenFile(in, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	send().Close()                                                        // a client that has left
	p := start(t, s, "sh:exec <&- 2>&-; echo; exec sleep 60")             // ends of file, and a byte without a reader
	until(t, "stderr has ended", func() bool { return ended(s.outs[1]) }) // and waits for a late reader if one is due
	before := cpu()
	time.Sleep(time.Second)
	if used := cpu() - before; used > 200*time.Millisecond {
		t.Errorf("used %v of processor time in a second without work", used)
	}
	p.Process.Kill()
	p.Cmd.Wait()
	s.ProcessExited()
	finish(t, s)
}

func ended(o *output) bool {
	select {
	case <-o.handed:
		return true
	default:
		return false
	}
}

func TestConsoleThatIsNoTerminalFailsAttach(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Stdout: mkfifo(t, "out"), Terminal: true})
	null, err := os.Open(mkfile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	sendMaster(t, s.ConsoleSocket(), int(null.Fd()))
	if err := s.Attach(context.Background()); err == nil {
		t.Error("attach took a file for a terminal")
	}
}

func mkfile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConsoleSocketIsPrivateAndFitsInAnAddress(t *testing.T) {
	leak.Check(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Terminal: true, Dir: long})
	path := s.ConsoleSocket()
	if len(path) >= sunPathMax {
		t.Errorf("%s has %d bytes", path, len(path))
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		st, err := os.Stat(name)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", name, st.Mode(), err, want)
		}
	}
	s.Close()
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after close: %v", err)
	}
}

func TestCloseEndsAnAttachThatWaits(t *testing.T) {
	leak.Check(t)
	s := open(t, Config{Terminal: true, Stdout: mkfifo(t, "out")})
	got := make(chan error, 1)
	go func() { got <- s.Attach(context.Background()) }()
	time.Sleep(20 * time.Millisecond) // likely into the wait; either way it ends
	s.Close()
	select {
	case err := <-got:
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	case <-time.After(patience):
		t.Fatal("attach goes on")
	}
}
