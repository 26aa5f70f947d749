package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
	"golang.org/x/sys/unix"
)

// heldPipe returns streams whose process is gone while somebody still holds stdout's write end.
func heldPipe(t *testing.T, path string) (*Streams, int) {
	t.Helper()
	s := open(t, Config{Stdout: path})
	w, err := unix.FcntlInt(s.Files()[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, s)
	s.ProcessExited()
	return s, w
}

// Field reports F9 and F12: a child in the background keeps the pipe for ever.
func TestDrainDoesNotWaitForThoseWhoHoldThePipeInSilence(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, s, "sh:echo hello; sleep 300 & echo $!")
	p.wait(s)
	begin := time.Now()
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("drain: %v", err)
	}
	if took := time.Since(begin); took < drainQuiet || took > drainMax {
		t.Errorf("drain took %v", took)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b, err := io.ReadAll(f)
	f.Close()
	word, pid, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if word != "hello" || err != nil {
		t.Errorf("got %q %v", b, err)
	}
	unix.Kill(number(pid), unix.SIGKILL)
}

func TestDrainOfATerminalHeldInSilence(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path, Terminal: true})
	got := readAll(t, path)
	p := startTerminal(t, s, "sh:trap '' HUP; sleep 20 & echo hello")
	p.wait(s)
	finish(t, s)
	expect(t, "terminal", got, sumText("hello\r\n"))
}

// What the process wrote before it died is in the pipe: a child that goes on writing does not make Drain fail, nor last.
func TestDrainIsNotProlongedByOthersOutput(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s, w := heldPipe(t, path)
	got := readAll(t, path)
	stop := make(chan bool)
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				unix.Close(w)
				return
			default:
				unix.Write(w, []byte("noise\n"))
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	begin := time.Now()
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("drain: %v", err)
	}
	if took := time.Since(begin); took > 2*drainMax {
		t.Errorf("drain took %v", took)
	}
	close(stop)
	<-done
	s.Close()
	<-got
}

func TestDrainNamesTheStreamAndWhoHoldsIt(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	p := start(t, s, "sh:exec yes")
	until(t, "both pipes are full", func() bool { return stuck(s.outs[0]) })
	s.ProcessExited()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	err := s.Drain(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want a deadline", err)
	}
	for _, part := range []string{"stdout", "bytes are left", "held by pid"} {
		if !contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	s.Close()
	p.Process.Kill()
	p.Cmd.Wait()
}

// The stall is shorter than the drain's bound: nothing is lost.
func TestDrainWaitsForASlowReader(t *testing.T) {
	leak.Check(t)
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, s, fmt.Sprintf("write %d 4096 1", 2*pipeSmall-8192))
	p.wait(s)
	got := make(chan error, 1)
	go func() { got <- s.Drain(context.Background()) }()
	select {
	case err := <-got:
		t.Errorf("drain does not wait: %v", err)
	case <-time.After(drainQuiet + drainQuiet/2):
	}
	sum := sumOf(f)
	if err := <-got; err != nil {
		t.Error(err)
	}
	s.Close()
	expect(t, "stdout", sum, produced(2*pipeSmall-8192))
}

// stuck reports whether both of the output's pipes are full.
func stuck(o *output) bool {
	return o.src.pending() >= pipeSmall/2 && events(o.dst.end.fd, unix.POLLOUT)&unix.POLLOUT == 0
}
