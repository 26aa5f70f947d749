package stdio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wisp-shim/wisp/internal/leak"
	"golang.org/x/sys/unix"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func feed(t *testing.T, path string, total, chunk int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := produce(f, total, chunk); err != nil {
		t.Error(err)
	}
}

func TestEveryByteReachesTheProcess(t *testing.T) {
	for _, total := range []int{0, 1, 65537, 16 << 20} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			leak.Check(t)
			in, out := mkfifo(t, "in"), mkfifo(t, "out")
			s := open(t, Config{Stdin: in, Stdout: out})
			got := readAll(t, out)
			p := start(t, s, "cat")
			feed(t, in, total, -30000)
			s.CloseStdin()
			p.wait(s)
			finish(t, s)
			expect(t, "cat", got, produced(total))
		})
	}
}

func TestClientMayLeaveStdinAndComeBack(t *testing.T) {
	leak.Check(t)
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	s := open(t, Config{Stdin: in, Stdout: out})
	got := readAll(t, out)
	p := start(t, s, "cat")
	for _, word := range []string{"one ", "two ", "three"} {
		f, err := os.OpenFile(in, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(word)
		f.Close()
	}
	s.CloseStdin()
	s.CloseStdin()
	p.wait(s)
	finish(t, s)
	expect(t, "cat", got, sumText("one two three"))
}

// Field report F11.
func TestCloseStdinBeforeAttachSticks(t *testing.T) {
	leak.Check(t)
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	s := open(t, Config{Stdin: in, Stdout: out})
	f, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("early")
	s.CloseStdin()
	f.Close()
	got := readAll(t, out)
	p := start(t, s, "cat")
	p.wait(s)
	finish(t, s)
	expect(t, "cat", got, sumText("early"))
}

func TestStdinEndsForClientsWhenTheProcessClosesIt(t *testing.T) {
	leak.Check(t)
	in := mkfifo(t, "in")
	s := open(t, Config{Stdin: in})
	f, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := start(t, s, "sh:exec <&-; sleep 60")
	until(t, "the client gets EPIPE", func() bool {
		_, err := f.WriteString("x")
		return err != nil
	})
	p.Process.Kill()
	p.Cmd.Wait()
	s.ProcessExited()
	finish(t, s)
}

func TestRegularFileAsStdin(t *testing.T) {
	leak.Check(t)
	in, out := filepath.Join(t.TempDir(), "in"), mkfifo(t, "out")
	if err := os.WriteFile(in, text(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Stdin: in, Stdout: out})
	got := readAll(t, out)
	p := start(t, s, "cat")
	p.wait(s)
	finish(t, s)
	expect(t, "cat", got, sumText(string(text())))
}

func TestCloseInEveryStateLeavesNothing(t *testing.T) {
	configs := map[string]func(t *testing.T) Config{
		"null": func(t *testing.T) Config { return Config{} },
		"fifos": func(t *testing.T) Config {
			return Config{Stdin: mkfifo(t, "i"), Stdout: mkfifo(t, "o"), Stderr: mkfifo(t, "e")}
		},
		"terminal": func(t *testing.T) Config {
			return Config{Stdin: mkfifo(t, "i"), Stdout: mkfifo(t, "o"), Terminal: true}
		},
		"binary": func(t *testing.T) Config {
			uri := loggerURI(t, "binary-v2", "")
			return Config{ID: "c", Namespace: "n", Stdout: uri, Stderr: uri, Spawn: spawn(t)}
		},
	}
	for name, make := range configs {
		for _, state := range []string{"opened", "failed attach", "attached", "running", "exited"} {
			t.Run(name+" "+state, func(t *testing.T) {
				leak.Check(t)
				closeIn(t, make(t), state)
			})
		}
	}
}

// closeIn brings streams into a state and closes them there, twice.
func closeIn(t *testing.T, cfg Config, state string) {
	t.Helper()
	cfg.Dir = t.TempDir()
	s := open(t, cfg)
	switch state {
	case "failed attach":
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Attach(ctx); (err != nil) != cfg.Terminal {
			t.Errorf("attach: %v", err)
		}
	case "attached":
		if !cfg.Terminal {
			attach(t, s)
		}
	case "running", "exited":
		begin := start
		if cfg.Terminal {
			begin = startTerminal
		}
		p := begin(t, s, "sh:echo hello; exec sleep 60")
		if state == "exited" {
			p.Process.Kill()
			p.Cmd.Wait()
			s.ProcessExited()
		} else {
			defer p.Process.Kill() // a logger sees the end of file only then
			if cfg.Spawn != nil {
				p.Process.Kill()
			}
		}
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Attach(context.Background()); err == nil {
		t.Error("attach after close succeeds")
	}
	s.CloseStdin()
	s.Resize(1, 1)
	s.ProcessExited()
	left, err := os.ReadDir(cfg.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v %v", left, err)
	}
}

func TestDescriptorsAreCloseOnExec(t *testing.T) {
	before := descriptors(t)
	s := open(t, Config{Stdin: mkfifo(t, "i"), Stdout: mkfifo(t, "o"), Stderr: mkfifo(t, "e")})
	s2 := open(t, Config{Stdin: mkfifo(t, "i"), Stdout: mkfifo(t, "o"), Terminal: true})
	startTerminal(t, s2, "sh:exec sleep 60")
	attach(t, s)
	for fd := range descriptors(t) {
		if before[fd] {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("fd %d is not close-on-exec", fd)
		}
	}
}

func descriptors(t *testing.T) map[int]bool {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fds := map[int]bool{}
	for _, e := range all {
		fds[number(e.Name())] = true
	}
	return fds
}
