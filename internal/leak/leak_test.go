package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder is a test that keeps its failures to itself.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// report runs body as a test under Check, with short time to settle, and returns what Check says. The
// cleanup that body returns runs afterwards.
func report(t *testing.T, body func(t *testing.T) (cleanup func())) string {
	t.Helper()
	return reportWithin(t, 50*time.Millisecond, body)
}

func reportWithin(t *testing.T, settle time.Duration, body func(t *testing.T) (cleanup func())) string {
	t.Helper()
	r := &recorder{TB: t}
	check(r, settle)
	if len(r.cleanups) != 1 {
		t.Fatalf("Check registered %d cleanups, want 1: %v", len(r.cleanups), r.errors)
	}
	after := body(t)
	r.cleanups[0]()
	if after != nil {
		after()
	}
	return strings.Join(r.errors, "\n")
}

func wantReport(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("report lacks %q:\n%s", w, got)
		}
	}
}

func TestNothingLeftIsNoLeak(t *testing.T) {
	got := report(t, func(t *testing.T) func() {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return func() { f.Close() }
	})
	wantReport(t, got, "file descriptor", "/dev/null")
	if got := report(t, func(*testing.T) func() { return nil }); got != "" {
		t.Errorf("a test that does nothing leaks:\n%s", got)
	}
}

func park(stop <-chan struct{}, stopped chan<- struct{}) {
	<-stop
	close(stopped)
}

func TestGoroutineIsShownWithItsStack(t *testing.T) {
	got := report(t, func(*testing.T) func() {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go park(stop, stopped)
		return func() { close(stop); <-stopped }
	})
	wantReport(t, got, "- goroutine:", "leak.park(", "leak_test.go")
}

func TestGoroutineThatEndsInTimeIsNoLeak(t *testing.T) {
	got := reportWithin(t, settle, func(*testing.T) func() {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go park(stop, stopped)
		time.AfterFunc(50*time.Millisecond, func() { close(stop) })
		return nil
	})
	if got != "" {
		t.Errorf("a goroutine that ends by itself is reported:\n%s", got)
	}
}

func TestSecondDescriptorOfAnOpenFileIsALeak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	first, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	got := report(t, func(t *testing.T) func() {
		if err := os.Remove(path); err != nil { // the descriptor that was there stays unreported
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(first.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return func() { unix.Close(fd) }
	})
	wantReport(t, got, "1 left behind", "- file descriptor:", path)
}

func TestEpollThatIsNotGosOwnIsALeak(t *testing.T) {
	got := report(t, func(t *testing.T) func() {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		return func() { unix.Close(fd) }
	})
	wantReport(t, got, "- file descriptor:", "eventpoll")
}

func startSelf(t *testing.T, args ...string) int {
	t.Helper()
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{"leak.test"}, args...), &syscall.ProcAttr{
		Env: []string{"LEAK_TEST_CHILD=" + args[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func reap(t *testing.T, pid int) {
	t.Helper()
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Errorf("wait for %d: %v", pid, err)
	}
}

func TestLiveChildIsALeak(t *testing.T) {
	got := report(t, func(t *testing.T) func() {
		pid := startSelf(t, "block")
		return func() { syscall.Kill(pid, syscall.SIGKILL); reap(t, pid) }
	})
	wantReport(t, got, "- child process:", `"block"`)
}

func TestZombieIsALeak(t *testing.T) {
	got := report(t, func(t *testing.T) func() {
		pid := startSelf(t, "exit")
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		return func() { reap(t, pid) }
	})
	wantReport(t, got, "- child process:", "state Z")
}

func TestMountUnderATempDirIsALeak(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, like all of this repository's tests")
	}
	dir := t.TempDir()
	got := report(t, func(t *testing.T) func() {
		if err := unix.Mount("leak-test", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		return func() { unix.Unmount(dir, unix.MNT_DETACH) }
	})
	wantReport(t, got, "- mount:", dir, "leak-test")
}

func TestMain(m *testing.M) {
	switch os.Getenv("LEAK_TEST_CHILD") {
	case "block":
		select {}
	case "exit":
		os.Exit(3)
	}
	os.Exit(m.Run())
}
