// Package detach makes two processes of one that a manager has started: one that stays, a server, and one that the manager waits
// for, which exits when the server says so, or with the server's exit code when that dies first.
//
// A Go program cannot fork once its runtime runs, so a server is usually a second program start, and with it a second start of the
// Go runtime: a millisecond and a half that every container waits for. Here the fork comes first. With the linker's flag
// `-E github.com/wisp-shim/wisp/internal/detach.entry` the program begins in entry_GOARCH.s, which forks if the last argument is
// "start" and goes on into the runtime in the child only; the parent never has one. What is on one side of the fork cannot be torn
// by it, for nothing of Go exists yet. Where a program is linked without the flag, Launch brings about the same with a second
// start. docs/decisions/0021 has the figures.
package detach

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Action is the last argument of a command line that entry forks for.
const Action = "start"

// launched begins the first argument of a process that Launch has started: "detached=DESCRIPTOR,PID".
const launched = "detached="

// Procs is the server's GOMAXPROCS. With one P it has fewer threads and moves streams with a third less processor time than with
// two; it seldom has work for more. (entry has it as well.)
const Procs = "GOMAXPROCS=1"

// Waiter is the process that the manager has started. It ends with code 0 on Release, else with this process and its exit code.
type Waiter struct {
	pipe    int
	manager int
}

// Find returns the waiter of this process, nil if it has none, and the command line as the manager wrote it.
func Find(args []string) (*Waiter, []string) {
	if pipe, manager := forked(); pipe > 0 { // entry has blanked the action, lest a server be taken for a start that hangs
		return &Waiter{int(pipe - 1), int(manager)}, append(slices.Clone(args[:len(args)-1]), Action)
	}
	if len(args) < 2 {
		return nil, args
	}
	told, ok := strings.CutPrefix(args[1], launched)
	if !ok {
		return nil, args
	}
	pipe, manager, _ := strings.Cut(told, ",")
	fd, err1 := strconv.Atoi(pipe)
	pid, err2 := strconv.Atoi(manager)
	if err1 != nil || err2 != nil {
		return nil, args
	}
	unix.CloseOnExec(fd)
	return &Waiter{fd, pid}, slices.Delete(slices.Clone(args), 1, 2)
}

// Manager is the pid of the process that has started the waiter.
func (w *Waiter) Manager() int { return w.manager }

// Release lets go of all that came from the manager: standard input, output and error become /dev/null, and the waiter ends. It
// fails when the waiter is gone already.
func (w *Waiter) Release() error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("let go of the manager: open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null) //nolint:errcheck // nothing was written
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return fmt.Errorf("let go of the manager: %w", err)
		}
	}
	defer unix.Close(w.pipe) //nolint:errcheck // a pipe has nothing to flush
	if _, err := unix.Write(w.pipe, []byte{0}); err != nil {
		return fmt.Errorf("tell the manager: %w", err)
	}
	return nil
}

// Launch starts this program anew as a process whose waiter is the caller, with the same command line, and returns the code with
// which the caller is to exit. What the caller has inherited beyond standard error is not passed on.
func Launch(args, environ []string) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find own binary: %w", err)
	}
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // kernels before 5.11 have no such call
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return 0, fmt.Errorf("start server: %w", err)
	}
	defer unix.Close(pipe[0]) //nolint:errcheck // opened for reading
	argv := slices.Insert(slices.Clone(args), 1, launched+"3,"+strconv.Itoa(os.Getppid()))
	pid, err := syscall.ForkExec(self, argv, &syscall.ProcAttr{
		Env:   withProcs(environ),
		Files: []uintptr{0, 1, 2, uintptr(pipe[1])},
	})
	_ = unix.Close(pipe[1])
	if err != nil {
		return 0, fmt.Errorf("start server %s: %w", self, err)
	}
	if released(pipe[0]) {
		return 0, nil
	}
	return exitCode(pid)
}

// withProcs is the environment with the server's number of Ps.
func withProcs(environ []string) []string {
	key, _, _ := strings.Cut(Procs, "=")
	rest := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
	return append(rest, Procs)
}

// released waits until the server releases its waiter, or ends.
func released(pipe int) bool {
	for {
		n, err := unix.Read(pipe, make([]byte, 1))
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// exitCode waits for the end of our child.
func exitCode(pid int) (int, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for server: %w", err)
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
