package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
)

// playLogger is a logging binary: arguments are "dir DIR" and then a mode and what else was in the URI.
func playLogger(args []string) error {
	dir, mode := args[1], args[2]
	info := strings.Join(args, " ") + "\n" + strings.Join(os.Environ(), " ")
	if err := os.WriteFile(filepath.Join(dir, "info"), []byte(info), 0o600); err != nil {
		return err
	}
	ready := os.NewFile(5, "ready")
	switch mode {
	case "crash":
		return errors.New("as asked")
	case "deaf": // never ready
		select {}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	var work sync.WaitGroup
	for fd, name := range map[int]string{3: "out", 4: "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		work.Go(func() { io.Copy(f, os.NewFile(uintptr(fd), name)) })
	}
	if _, err := ready.Write([]byte{0}); err != nil {
		return err
	}
	ready.Close()
	work.Wait()
	if mode == "slow" {
		time.Sleep(300 * time.Millisecond) // the tail is written after the end of file
	}
	if mode == "stubborn" {
		select {}
	}
	return os.WriteFile(filepath.Join(dir, "done"), nil, 0o600)
}

// loggerURI returns the URI of this binary as a logger that writes into dir.
func loggerURI(t testing.TB, scheme, mode string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if mode == "" {
		mode = "plain"
	}
	return fmt.Sprintf("%s://%s?dir=%s&%s=1&zeta=2&alpha=3", scheme, self, t.TempDir(), mode)
}

func loggerDir(uri string) string {
	_, rest, _ := strings.Cut(uri, "dir=")
	dir, _, _ := strings.Cut(rest, "&")
	return dir
}

// child is a logger that was started by spawn.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (c *child) Pid() int                        { return c.cmd.Process.Pid }
func (c *child) Done() <-chan struct{}           { return c.done }
func (c *child) Signal(sig syscall.Signal) error { return c.cmd.Process.Signal(sig) }

func spawn(t testing.TB) func(SpawnConfig) (Child, error) {
	return func(c SpawnConfig) (Child, error) {
		if c.Files[0] != nil || c.Files[1] != nil || c.Files[2] != nil {
			t.Error("a logger's own streams are not null")
		}
		cmd := &exec.Cmd{Path: c.Path, Args: c.Args, Env: c.Env, ExtraFiles: c.Files[3:]}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		l := &child{cmd, make(chan struct{})}
		go func() { cmd.Wait(); close(l.done) }()
		return l, nil
	}
}

func TestLoggerGetsEveryByteAndItsEnd(t *testing.T) {
	for _, scheme := range []string{"binary", "binary-v2"} {
		for _, terminal := range []bool{false, true} {
			t.Run(fmt.Sprint(scheme, " terminal=", terminal), func(t *testing.T) {
				leak.Check(t)
				uri := loggerURI(t, scheme, "slow")
				cfg := Config{ID: "c1", Namespace: "ns", Stdout: uri, Stderr: uri, Spawn: spawn(t), Terminal: terminal}
				begin, role := start, "write 2000000 -9000 1 2"
				if terminal {
					cfg.Stderr = ""
					begin, role = startTerminal, "write 2000000 -9000 1"
				}
				s := open(t, cfg)
				p := begin(t, s, role)
				p.wait(s)
				finish(t, s)
				dir := loggerDir(uri)
				if got := sumText(readFile(t, filepath.Join(dir, "out"))); got != produced(2000000) {
					t.Errorf("stdout: %s", got)
				}
				if !terminal {
					if got := sumText(readFile(t, filepath.Join(dir, "err"))); got != produced(2000000) {
						t.Errorf("stderr: %s", got)
					}
				}
				if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
					t.Errorf("the logger was not let finish: %v", err)
				}
				checkInfo(t, readFile(t, filepath.Join(dir, "info")), dir)
			})
		}
	}
}

// checkInfo checks the arguments' order and the environment.
func checkInfo(t *testing.T, info, dir string) {
	t.Helper()
	args, env, _ := strings.Cut(info, "\n")
	if want := "dir " + dir + " slow 1 zeta 2 alpha 3"; args != want {
		t.Errorf("arguments %q, want %q", args, want)
	}
	vars := strings.Fields(env)
	slices.Sort(vars)
	if want := []string{"CONTAINER_ID=c1", "CONTAINER_NAMESPACE=ns"}; !slices.Equal(vars, want) {
		t.Errorf("environment %q, want %q", vars, want)
	}
}

func TestLoggerThatCrashesFailsOpen(t *testing.T) {
	leak.Check(t)
	uri := loggerURI(t, "binary-v2", "crash")
	_, err := Open(context.Background(), Config{ID: "c", Stdout: uri, Spawn: spawn(t)})
	if !errors.Is(err, ErrLogger) {
		t.Errorf("got %v, want ErrLogger", err)
	}
}

func TestLoggerThatIsNeverReadyIsEnded(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	_, err := Open(ctx, Config{ID: "c", Stdout: loggerURI(t, "binary", "deaf"), Spawn: spawn(t)})
	if !errors.Is(err, ErrLogger) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrLogger and a deadline", err)
	}
}

func TestLoggerThatIsMissing(t *testing.T) {
	leak.Check(t)
	_, err := Open(context.Background(), Config{Stdout: "binary:///no/such/logger", Spawn: spawn(t)})
	if !errors.Is(err, ErrLogger) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrLogger and ErrNotExist", err)
	}
}

func TestLoggerThatDoesNotEndIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	leak.Check(t)
	uri := loggerURI(t, "binary", "stubborn")
	s := open(t, Config{ID: "c", Stdout: uri, Spawn: spawn(t)})
	p := start(t, s, "sh:echo hello")
	p.wait(s)
	finish(t, s)
	if got := readFile(t, filepath.Join(loggerDir(uri), "out")); got != "hello" {
		t.Errorf("got %q", got)
	}
}
