package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc/runctest"
)

// life is a container of the fake, driven as proc does it.
type life struct {
	t      testing.TB
	r      *Runtime
	id     string
	bundle string
}

func (l *life) create(files [3]*os.File) *reaper.Process {
	l.t.Helper()
	watch := theReaper.Watch()
	defer watch.Close()
	pidFile := filepath.Join(l.bundle, "init.pid")
	must(l.t, l.r.Create(context.Background(), l.id, CreateOptions{Bundle: l.bundle, PidFile: pidFile, Files: files}))
	return claim(l.t, watch, pidFile)
}

func (l *life) exec(name string, files [3]*os.File, args ...string) *reaper.Process {
	l.t.Helper()
	watch := theReaper.Watch()
	defer watch.Close()
	process, pidFile := filepath.Join(l.bundle, name+".json"), filepath.Join(l.bundle, name+".pid")
	runctest.WriteJSON(l.t, process, runctest.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}})
	must(l.t, l.r.Exec(context.Background(), l.id, ExecOptions{ProcessFile: process, PidFile: pidFile, Files: files}))
	return claim(l.t, watch, pidFile)
}

func claim(t testing.TB, watch *reaper.Watch, pidFile string) *reaper.Process {
	t.Helper()
	data, err := os.ReadFile(pidFile)
	must(t, err)
	pid, err := strconv.Atoi(string(data))
	must(t, err)
	p, err := watch.Claim(pid)
	must(t, err)
	return p
}

func (l *life) status() string {
	l.t.Helper()
	s, err := l.r.State(context.Background(), l.id)
	must(l.t, err)
	if s.Bundle != l.bundle {
		l.t.Errorf("bundle %s, want %s", s.Bundle, l.bundle)
	}
	return s.Status
}

func TestAWholeLifeOfTheFake(t *testing.T) {
	checkLeaks(t)
	ctx := context.Background()
	l := &life{t: t, r: fakeRuntime(t), id: "c1", bundle: runctest.Bundle(t, runctest.Config{Args: []string{"sleep", "1000"}})}
	init := l.create([3]*os.File{})
	if s := l.status(); s != "created" {
		t.Errorf("%s after create", s)
	}
	if err := l.r.Create(ctx, l.id, CreateOptions{Bundle: l.bundle, PidFile: "/dev/null"}); !errors.Is(err, ErrExists) {
		t.Errorf("second create: %v", err)
	}
	must(t, l.r.Start(ctx, l.id))
	if s := l.status(); s != "running" {
		t.Errorf("%s after start", s)
	}
	exec := l.exec("e1", [3]*os.File{}, "sh", "-c", "exit 42")
	<-exec.Done()
	if e := exec.Exit(); e.Status != 42 {
		t.Errorf("exec: %+v", e)
	}
	other := l.exec("e2", [3]*os.File{}, "sleep", "1000")
	pids, err := l.r.Pids(ctx, l.id)
	must(t, err)
	if !slices.Contains(pids, init.Pid()) || !slices.Contains(pids, other.Pid()) || len(pids) != 2 {
		t.Errorf("pids %v, want %d and %d", pids, init.Pid(), other.Pid())
	}
	must(t, l.r.Pause(ctx, l.id))
	if s := l.status(); s != "paused" {
		t.Errorf("%s after pause", s)
	}
	must(t, l.r.Resume(ctx, l.id))
	must(t, l.r.Update(ctx, l.id, []byte(`{"memory":{"limit":1}}`)))
	if err := l.r.Delete(ctx, l.id, false); err == nil {
		t.Error("a running container was deleted")
	}
	must(t, l.r.Kill(ctx, l.id, syscall.SIGKILL, false))
	<-init.Done()
	<-other.Done() // the pid namespace went with init
	if e := init.Exit(); e.Signal != syscall.SIGKILL {
		t.Errorf("init: %+v", e)
	}
	if s := l.status(); s != "stopped" {
		t.Errorf("%s after kill", s)
	}
	if err := l.r.Kill(ctx, l.id, syscall.SIGKILL, false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("second kill: %v", err)
	}
	must(t, l.r.Delete(ctx, l.id, false))
	if err := l.r.Delete(ctx, l.id, false); !errors.Is(err, ErrNotExist) {
		t.Errorf("second delete: %v", err)
	}
	must(t, l.r.Delete(ctx, l.id, true))
}

func TestTheStreamsAreTheContainers(t *testing.T) {
	checkLeaks(t)
	l := &life{t: t, r: fakeRuntime(t), id: "c1", bundle: runctest.Bundle(t, runctest.Config{
		Args: []string{"sh", "-c", `read x; echo "out $x $A"; echo err >&2`}, Env: []string{"A=b"}, SharedPID: true,
	})}
	var files [3]*os.File
	inR, inW, err := os.Pipe()
	must(t, err)
	outR, outW, err := os.Pipe()
	must(t, err)
	defer outR.Close()
	files = [3]*os.File{inR, outW, outW}
	init := l.create(files)
	must(t, inR.Close())
	must(t, outW.Close())
	must(t, l.r.Start(context.Background(), l.id))
	_, err = inW.WriteString("word\n")
	must(t, errors.Join(err, inW.Close()))
	got, err := io.ReadAll(outR)
	must(t, err)
	<-init.Done()
	if string(got) != "out word b\nerr\n" || init.Exit().Status != 0 {
		t.Errorf("got %q, %+v", got, init.Exit())
	}
	must(t, l.r.Delete(context.Background(), l.id, false))
}

func TestATerminalIsSentOverItsSocket(t *testing.T) {
	checkLeaks(t)
	r := fakeRuntime(t)
	bundle := runctest.Bundle(t, runctest.Config{Args: []string{"sh", "-c", "stty size"}, Terminal: true})
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	defer listener.Close()
	watch := theReaper.Watch()
	defer watch.Close()
	pidFile := filepath.Join(bundle, "init.pid")
	must(t, r.Create(context.Background(), "c1", CreateOptions{Bundle: bundle, PidFile: pidFile, ConsoleSocket: socket}))
	init := claim(t, watch, pidFile)
	master := receiveMaster(t, listener)
	defer master.Close()
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 99}))
	must(t, r.Start(context.Background(), "c1"))
	<-init.Done()
	buf := make([]byte, 64)
	n, err := master.Read(buf)
	if string(buf[:n]) != "33 99\r\n" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	must(t, r.Delete(context.Background(), "c1", false))
	// What a failed runtime prints is not lost where the terminal leaves its streams free.
	must(t, os.RemoveAll(r.Log))
	runctest.SetFaults(t, r.Binary, runctest.Fault{Print: "words", Exit: 3})
	err = r.Create(context.Background(), "c2", CreateOptions{Bundle: bundle, PidFile: pidFile, ConsoleSocket: socket})
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: words") {
		t.Errorf("got %v", err)
	}
}

func receiveMaster(t *testing.T, listener *net.UnixListener) *os.File {
	t.Helper()
	conn, err := listener.AcceptUnix()
	must(t, err)
	defer conn.Close()
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 64), oob)
	must(t, err)
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	must(t, err)
	fds, err := unix.ParseUnixRights(&messages[0])
	must(t, err)
	return os.NewFile(uintptr(fds[0]), "master")
}

func TestAFaultBefallsAsOftenAsItIsTold(t *testing.T) {
	r := fakeRuntime(t)
	runctest.SetFaults(t, r.Binary, runctest.Fault{Verb: "update", Times: 2, Message: "twice"}, runctest.Fault{ID: "x", Message: "x"})
	for _, want := range []string{"twice", "twice", "container does not exist"} {
		if e := runtimeError(t, r.Update(context.Background(), "c1", nil)); e.Message != want {
			t.Errorf("got %q, want %q", e.Message, want)
		}
	}
	if e := runtimeError(t, r.Start(context.Background(), "x")); e.Message != "x" {
		t.Errorf("got %q", e.Message)
	}
	bundle := runctest.Bundle(t, runctest.Config{Args: []string{"true"}})
	runctest.SetFaults(t, r.Binary, runctest.Fault{Verb: "create", After: true, Message: "late"})
	err := r.Create(context.Background(), "c1", CreateOptions{Bundle: bundle, PidFile: filepath.Join(bundle, "p")})
	if e := runtimeError(t, err); e.Message != "late" {
		t.Errorf("got %v", err)
	}
	if s, err := r.State(context.Background(), "c1"); err != nil || s.Status != "created" {
		t.Errorf("the verb was not done: %+v, %v", s, err)
	}
}

func TestLivesSideBySideDoNotMix(t *testing.T) {
	checkLeaks(t)
	r := fakeRuntime(t)
	var wg sync.WaitGroup
	for i := range 10 {
		bundle := runctest.Bundle(t, runctest.Config{Args: []string{"sh", "-c", "exit " + strconv.Itoa(i)}, SharedPID: i%2 == 0})
		wg.Go(func() {
			l := &life{t: t, r: r, id: fmt.Sprintf("c%d", i), bundle: bundle}
			init := l.create([3]*os.File{})
			must(t, r.Start(context.Background(), l.id))
			<-init.Done()
			if e := init.Exit(); e.Status != i {
				t.Errorf("%s: %+v", l.id, e)
			}
			must(t, r.Delete(context.Background(), l.id, false))
		})
	}
	wg.Wait()
}
