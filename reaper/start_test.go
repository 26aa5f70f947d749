package reaper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Wait statuses are decoded as shells do, with the signal and the core flag.
func TestStatusIsDecoded(t *testing.T) {
	r := checkLeaks(t)
	for _, c := range []struct {
		script string
		status int
		signal syscall.Signal
		core   bool
	}{
		{"exit 0", 0, 0, false},
		{"exit 1", 1, 0, false},
		{"exit 137", 137, 0, false},
		{"exit 255", 255, 0, false},
		{"kill -KILL $$", 137, syscall.SIGKILL, false},
		{"kill -TERM $$", 143, syscall.SIGTERM, false},
		{"ulimit -c 0; kill -SEGV $$", 139, syscall.SIGSEGV, false},
		{"ulimit -c unlimited && kill -SEGV $$", 139, syscall.SIGSEGV, true},
	} {
		cmd := sh(c.script)
		cmd.Dir = t.TempDir() // a core may land there
		e := waitExit(t, mustStart(t, r, cmd))
		if e.Status != c.status || e.Signal != c.signal || e.Core != c.core {
			t.Errorf("%s: %+v", c.script, e)
		}
	}
}

// A process gets the signal sent to it, and once reaped it is done.
func TestSignal(t *testing.T) {
	r := checkLeaks(t)
	g := newGate(t)
	p := mustStart(t, r, sh("read x <&3", nil, nil, nil, g.r))
	if err := p.Signal(0); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.Signal(200)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("no such signal: %v", err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if e := waitExit(t, p); e.Status != 137 {
		t.Errorf("%+v", e)
	}
	if err := p.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after the reap: %v", err)
	}
}

// What cannot be started is a clear error of its kind, and leaves nothing behind.
func TestStartErrors(t *testing.T) {
	r := checkLeaks(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := outFile(t, "closed")
	_ = closed.Close()
	before := r.Counters()
	for _, c := range []struct {
		name string
		cmd  Command
		kind error
		text string
	}{
		{"missing program", Command{Path: dir + "/none", Args: []string{"none"}}, fs.ErrNotExist, dir + "/none"},
		{"not executable", Command{Path: plain, Args: []string{"plain"}}, fs.ErrPermission, plain},
		{"missing directory", Command{Path: shell, Dir: dir + "/nodir"}, fs.ErrNotExist, dir + "/nodir"},
		{"directory is a file", Command{Path: shell, Dir: plain}, syscall.ENOTDIR, "enter directory"},
		{"NUL in an argument", Command{Path: shell, Args: []string{"a\x00b"}}, syscall.EINVAL, shell},
		{"closed file", Command{Path: shell, Files: []*os.File{closed}}, os.ErrClosed, "descriptor 0"},
	} {
		for range 20 {
			_, err := r.Start(c.cmd)
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if after := r.Counters(); after.Started != before.Started || after.Parked != 0 {
		t.Errorf("%+v, before %+v", after, before)
	}
}

// A child has the descriptors it was given, /dev/null for nil, and no others.
func TestChildGetsOnlyItsFiles(t *testing.T) {
	r := checkLeaks(t)
	for range 20 {
		f := outFile(t, "other")
		defer func() { _ = f.Close() }()
	}
	out := outFile(t, "out")
	defer func() { _ = out.Close() }()
	script := "for i in 0 1 2 3 4; do readlink /proc/$$/fd/$i; done; exec ls /proc/self/fd"
	p := mustStart(t, r, sh(script, nil, out, nil, out, nil))
	if e := waitExit(t, p); e.Status != 0 {
		t.Fatalf("%+v", e)
	}
	data, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	null := os.DevNull
	want := []string{null, out.Name(), null, out.Name(), null, "0", "1", "2", "3", "4", "5"} // 5 is ls's own
	if got := strings.Fields(string(data)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Session, process group, directory and environment are as the command says.
func TestCommandAttributes(t *testing.T) {
	r := checkLeaks(t)
	g := newGate(t)
	dir := t.TempDir()
	cmd := Command{
		Path: shell, Args: []string{"argv0", "-c", `[ "$A" = b ] && [ -z "$HOME" ] && [ "$PWD" = "$0" ] && read x <&3`, dir},
		Env: []string{"A=b"}, Dir: dir, Files: []*os.File{nil, nil, nil, g.r}, Setpgid: true,
	}
	leader := mustStart(t, r, cmd)
	if pgid, err := unix.Getpgid(leader.Pid()); err != nil || pgid != leader.Pid() {
		t.Errorf("process group %d of %d: %v", pgid, leader.Pid(), err)
	}
	cmd.Setpgid, cmd.Setsid = false, true
	session := mustStart(t, r, cmd)
	if sid, err := unix.Getsid(session.Pid()); err != nil || sid != session.Pid() {
		t.Errorf("session %d of %d: %v", sid, session.Pid(), err)
	}
	for _, p := range []*Process{leader, session} {
		if e := p.Exit(); e != (Exit{}) {
			t.Errorf("ended early: %+v", e)
		}
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if e := waitExit(t, p); e.Status != 143 {
			t.Errorf("%+v", e)
		}
	}
}

// With Pdeathsig a child dies with its parent, without it it becomes ours.
func TestPdeathsig(t *testing.T) {
	r := checkLeaks(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sent, status int }{{int(syscall.SIGKILL), 137}, {0, 143}} {
		w := r.Watch()
		defer w.Close()
		out := outFile(t, "pid")
		defer func() { _ = out.Close() }()
		g := newGate(t)
		parent := mustStart(t, r, Command{
			Path: self, Args: []string{self, strconv.Itoa(c.sent)},
			Env: []string{envHelper + "=orphan"}, Files: []*os.File{g.r, out, os.Stderr},
		})
		if e := waitExit(t, parent); e.Status != 0 {
			t.Fatalf("helper: %+v", e)
		}
		for pid := range family(t, out.Name()) {
			p, err := w.Claim(pid)
			if err != nil {
				t.Fatal(err)
			}
			if c.sent == 0 {
				if err := p.Signal(syscall.SIGTERM); err != nil {
					t.Errorf("the orphan lives: %v", err)
				}
			}
			if e := waitExit(t, p); e.Status != c.status {
				t.Errorf("%+v", e)
			}
		}
	}
}

// helperOrphan starts a child that waits, prints its pid and leaves it.
func helperOrphan() int {
	sig, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return 2
	}
	c := sh("read x", os.Stdin)
	c.Pdeathsig = syscall.Signal(sig)
	p, err := New().Start(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.Pid(), 0)
	return 0
}

// Two things that cannot happen unless pids are recycled within microseconds, or other code
// waits for children, end in a shared Process and an error: nobody waits for ever.
func TestFinishOfAForkThatIsNotOursAlone(t *testing.T) {
	r := checkLeaks(t)
	launched := func(script string) *Process {
		pid := forkBehind(t, script)
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		return &Process{r: r, pid: pid, pidfd: fd, done: make(chan struct{})}
	}
	w := r.Watch()
	mark := r.beginFork()
	p := launched("kill -STOP $$")
	claimed, err := w.Claim(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	if q, err := r.finishFork(mark, p); q != claimed || err != nil {
		t.Errorf("%v, %v", q, err)
	}
	if err := claimed.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	waitExit(t, claimed)
	w.Close()

	if err := shared.stop(); err != nil {
		t.Fatal(err)
	}
	defer shared.start()
	mark = r.beginFork()
	p = launched("exit 0")
	if _, err := syscall.Wait4(p.pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.finishFork(mark, p); !errors.Is(err, errTaken) {
		t.Errorf("%v", err)
	}
}
