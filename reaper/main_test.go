package reaper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a test waits for what must come. Only a failure takes it.
	patience = 60 * time.Second
	// pollInterval is between two looks at what cannot be waited for.
	pollInterval = time.Millisecond

	shell     = "/bin/sh"
	envHelper = "REAPER_TEST_HELPER" // names what the re-executed test binary does
	envSeed   = "REAPER_TEST_SEED"   // repeats a property test
)

// shared is the one Reaper of the test binary, and its Run.
var shared = &runner{reaper: New()}

// runner starts and stops a Reaper's Run.
type runner struct {
	reaper *Reaper
	cancel context.CancelFunc
	wg     sync.WaitGroup
	err    error
}

func (r *runner) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() { r.err = r.reaper.Run(ctx) })
	p, err := r.reaper.Start(Command{Path: shell, Args: []string{"sh", "-c", ":"}})
	if err != nil {
		panic(err)
	}
	<-p.Done() // Run has all that it opens
}

func (r *runner) stop() error {
	r.cancel()
	r.wg.Wait()
	return r.err
}

func TestMain(m *testing.M) {
	// What go test leaves open must not count as ours.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if os.Getenv(envHelper) == "orphan" {
		os.Exit(helperOrphan())
	}
	warm()
	shared.start()
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		code = 1
	}
	os.Exit(code)
}

// warm has the netpoller open its descriptors before anybody counts.
func warm() {
	if r, w, err := os.Pipe(); err == nil {
		_ = r.Close()
		_ = w.Close()
	}
}

// checkLeaks fails the test if it ends with other descriptors, goroutines, children,
// watches or forks than it began with.
func checkLeaks(t *testing.T) *Reaper {
	t.Helper()
	awaitNoChild(t)
	fds, goroutines := countFDs(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		awaitNoChild(t)
		if n := countFDs(t); n != fds {
			t.Errorf("%d descriptors, %d before", n, fds)
		}
		deadline := time.Now().Add(patience)
		for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
			time.Sleep(pollInterval) // a goroutine that has told its owner is still to unwind
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		r := shared.reaper
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.live)+len(r.watches)+len(r.forks)+len(r.parked) != 0 {
			t.Errorf("left: %d live, %d watches, %d forks, %d parked",
				len(r.live), len(r.watches), len(r.forks), len(r.parked))
		}
	})
	return shared.reaper
}

// awaitNoChild waits for the last child to be reaped, which it is soon after its Done.
func awaitNoChild(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(pollInterval) {
		_, err := look(unix.P_ALL, 0)
		if errors.Is(err, syscall.ECHILD) && shared.reaper.settled() {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("children are left: %v", err)
			return
		}
	}
}

// settled tells whether all that was announced is reaped.
func (r *Reaper) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told == nil
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// sh is a Command that runs a script.
func sh(script string, files ...*os.File) Command {
	return Command{Path: shell, Args: []string{shell, "-c", script}, Env: os.Environ(), Files: files}
}

func mustStart(t testing.TB, r *Reaper, c Command) *Process {
	t.Helper()
	p, err := r.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// waitExit waits for the exit of a process.
func waitExit(t testing.TB, p *Process) Exit {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Errorf("the exit of pid %d has not come", p.Pid())
	}
	return p.Exit()
}

// gate holds children back that read from its end r, until it is opened.
type gate struct {
	r, w *os.File
	once sync.Once
}

func newGate(t testing.TB) *gate {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{r: r, w: w}
	t.Cleanup(g.open)
	return g
}

func (g *gate) open() {
	g.once.Do(func() {
		_ = g.w.Close()
		_ = g.r.Close()
	})
}

// zombie forks a child behind the reaper's back, as an orphan comes, and
// returns when it is dead. Run must be stopped.
func zombie(t *testing.T, script string) int {
	t.Helper()
	pid := forkBehind(t, script)
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	return pid
}

// forkBehind forks a child behind the reaper's back.
func forkBehind(t *testing.T, script string) int {
	t.Helper()
	pid, err := syscall.ForkExec(shell, []string{shell, "-c", script}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// newRand returns a generator whose seed the test prints.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(envSeed); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("repeat with %s=%d", envSeed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// waitReaped waits until no process has the pid.
func waitReaped(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			t.Fatalf("pid %d is there still", pid)
		}
		time.Sleep(pollInterval)
	}
}

// forkFamily runs a script that leaves children behind and prints a line for each:
// its pid and the exit code it will have. The children must live as long as
// the script, or the shell reaps them: they read from the gates, descriptors 3 on.
func forkFamily(t *testing.T, r *Reaper, script string, gates ...*gate) map[int]int {
	t.Helper()
	out := outFile(t, "pids")
	defer func() { _ = out.Close() }()
	files := []*os.File{nil, out, nil}
	for _, g := range gates {
		files = append(files, g.r)
	}
	if e := waitExit(t, mustStart(t, r, sh(script, files...))); e.Status != 0 {
		t.Errorf("forker: %+v", e)
	}
	return family(t, out.Name())
}

// family is what a forker has written: the pids it left behind, and the exit code of each.
func family(t *testing.T, path string) map[int]int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[int]int)
	for line := range strings.Lines(string(data)) {
		var pid, code int
		if _, err := fmt.Sscan(line, &pid, &code); err != nil {
			t.Fatalf("read %q: %v", line, err)
		}
		codes[pid] = code
	}
	return codes
}

// outFile returns a file for a child's output.
func outFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
