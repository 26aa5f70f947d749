package detach_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	testLimit = 20 * time.Second
	testPause = 5 * time.Millisecond
)

const entry = "-E github.com/wisp-shim/wisp/internal/detach.entry"

// report is that of testdata/stay.
type report struct {
	Pid, Manager, Procs int
	Args                []string
	Variable            string
	Extra, Launched     bool
	Released            string
}

// eachWay runs a test with a program that forks at its entry, and with one that starts itself anew.
func eachWay(t *testing.T, test func(t *testing.T, program string)) {
	for name, flags := range map[string]string{"entry": entry, "launch": ""} {
		t.Run(name, func(t *testing.T) {
			if flags != "" && runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
				t.Skipf("no entry of ours on %s", runtime.GOARCH)
			}
			program := filepath.Join(t.TempDir(), "stay")
			build := exec.Command("go", "build", "-ldflags", flags, "-o", program, "./testdata/stay")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			test(t, program)
		})
	}
}

// stay is a started program.
type stay struct {
	*exec.Cmd
	t              *testing.T
	path           string // of the report
	in             io.WriteCloser
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, program, behaviour string) *stay {
	t.Helper()
	s := &stay{t: t, path: filepath.Join(t.TempDir(), "report")}
	s.Cmd = exec.Command(program, s.path, behaviour, "start")
	s.Env = append(os.Environ(), "GOMAXPROCS=3", "OTHER=kept")
	s.Cmd.Stdout, s.Cmd.Stderr = &s.stdout, &s.stderr // pipes: Wait returns at their end only
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s.ExtraFiles = slices.Repeat([]*os.File{null}, 7) // 3 to 9
	if s.in, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r, ok := s.read(); ok {
			_ = unix.Kill(r.Pid, unix.SIGKILL)
		}
	})
	return s
}

func (s *stay) read() (r report, ok bool) {
	data, err := os.ReadFile(s.path)
	return r, err == nil && json.Unmarshal(data, &r) == nil
}

// await returns the first report that passes.
func (s *stay) await(pass func(report) bool) report {
	s.t.Helper()
	for end := time.Now().Add(testLimit); time.Now().Before(end); time.Sleep(testPause) {
		if r, ok := s.read(); ok && pass(r) {
			return r
		}
	}
	r, _ := s.read()
	s.t.Fatalf("not reported: %+v", r)
	return r
}

func reported(report) bool { return true }

func TestTheOneThatStaysHasNothingOfTheManagersAndEverythingOfItsCommandLine(t *testing.T) {
	eachWay(t, func(t *testing.T, program string) {
		s := start(t, program, "stay")
		_ = s.in.Close()
		if err := s.Wait(); err != nil { // it has the ends of both pipes, and lets go of them
			t.Fatalf("%v: %s", err, &s.stderr)
		}
		r := s.await(func(r report) bool { return r.Released != "" })
		want := report{
			Pid: r.Pid, Manager: os.Getpid(), Procs: 1, Args: []string{s.path, "stay", "start"}, Variable: "1 kept", Released: "yes",
		}
		if r.Launched != strings.HasSuffix(t.Name(), "launch") {
			t.Errorf("by Launch: %t", r.Launched)
		}
		if r.Pid == s.Process.Pid || r.Manager != want.Manager || r.Procs != 1 || !slices.Equal(r.Args, want.Args) ||
			r.Variable != want.Variable || r.Extra || r.Released != "yes" {
			t.Errorf("got %+v, want %+v", r, want)
		}
		proc := "/proc/" + strconv.Itoa(r.Pid)
		for fd := range 3 {
			if target, err := os.Readlink(proc + "/fd/" + strconv.Itoa(fd)); target != os.DevNull {
				t.Errorf("descriptor %d is %s, %v", fd, target, err)
			}
		}
		status, err := os.ReadFile(proc + "/status")
		if err != nil || !strings.Contains(string(status), "\nSigBlk:\t0000000000000000\n") {
			t.Errorf("%v: signals are blocked: %s", err, status)
		}
	})
}

func TestTheExitCodeIsPassedOn(t *testing.T) {
	eachWay(t, func(t *testing.T, program string) {
		for behaviour, want := range map[string]int{"exit": 7, "die": 128 + 9} {
			s := start(t, program, behaviour)
			if _ = s.Wait(); s.ProcessState.ExitCode() != want {
				t.Errorf("%s: code %d, want %d: %s", behaviour, s.ProcessState.ExitCode(), want, &s.stderr)
			}
		}
	})
}

// The waiter's signals are for the manager's stop: they must not part it from the one that stays. In a program that does not begin
// at entry that is its own business.
func TestTheWaiterIsNotInterrupted(t *testing.T) {
	eachWay(t, func(t *testing.T, program string) {
		if strings.HasSuffix(t.Name(), "launch") {
			return
		}
		s := start(t, program, "stay")
		s.await(reported)
		for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
			if err := s.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.in.Close()
		if err := s.Wait(); err != nil {
			t.Errorf("interrupted: %v", err)
		}
	})
}

func TestAWaiterThatIsGoneIsNoticed(t *testing.T) {
	eachWay(t, func(t *testing.T, program string) {
		s := start(t, program, "stay")
		s.await(reported)
		if err := s.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Process.Wait(); err != nil {
			t.Fatal(err)
		}
		_ = s.in.Close()
		r := s.await(func(r report) bool { return r.Released != "" })
		if !strings.Contains(r.Released, "broken pipe") {
			t.Errorf("Release returns %q", r.Released)
		}
		_ = s.Wait()
	})
}

// A program that begins at entry is the same as ever with any other last argument.
func TestOnlyStartForks(t *testing.T) {
	eachWay(t, func(t *testing.T, program string) {
		for _, last := range []string{"", "s", "star", "starter", "stare", "delete"} {
			s := &stay{t: t, path: filepath.Join(t.TempDir(), "report")}
			out, err := exec.Command(program, s.path, "exit", last).CombinedOutput()
			if r, ok := s.read(); !ok || !r.Launched || exitCode(err) != 7 {
				t.Errorf("%q: %v: %s: %+v", last, err, out, r)
			}
		}
	})
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return 0
}
