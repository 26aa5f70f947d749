package reaper

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signalBase is what is added to the number of the signal that killed a
// process to make its status, as shells do.
const signalBase = 128

// Exit is how a process ended.
type Exit struct {
	Pid    int
	Status int            // the exit code, or 128 + Signal
	Signal syscall.Signal // what killed it; 0 when it exited
	Core   bool           // a core was dumped
	At     time.Time      // when it was seen
}

// decode turns a wait status into an Exit of this moment.
func decode(pid int, ws syscall.WaitStatus) Exit {
	e := Exit{Pid: pid, Status: ws.ExitStatus(), At: time.Now()}
	if ws.Signaled() {
		e.Signal = ws.Signal()
		e.Status = signalBase + int(e.Signal)
		e.Core = ws.CoreDump()
	}
	return e
}

// Process is a child of this process, alive or dead. It holds a pidfd until it
// is reaped, and has no goroutine.
type Process struct {
	r    *Reaper
	pid  int
	done chan struct{} // closed by endLocked

	// r.mu guards these. None but pidfd changes any more once ended is true.
	ended  bool
	pidfd  int // owned; -1 once reaped
	exit   Exit
	notify []func(Exit)
}

// Pid returns the process's pid. Once the process is reaped the number may be
// another's: use Signal, not kill(2).
func (p *Process) Pid() int { return p.pid }

// Done returns a channel that is closed when the process has ended. It is reaped right after: what waits for Done need not wait for that.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit returns how the process ended, and the zero Exit before Done is closed.
func (p *Process) Exit() Exit {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.exit
}

// Notify has f called with the exit, after Done is closed: a way to wait that
// needs no goroutine. It returns false, and f is never called, when the process
// has ended already: Exit has it then.
//
// Functions run on Run's goroutine, without a lock of this package, exit by
// exit in the order in which they are seen. As long as one runs nothing is reaped: it may
// record, send to a channel that has room, and call anything in this package but
// Run and Start; it must not wait for another process, for I/O or for a lock that is
// held over either, and must not panic.
func (p *Process) Notify(f func(Exit)) bool {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.ended {
		return false
	}
	p.notify = append(p.notify, f)
	return true
}

// Signal sends a signal to the process and to no other, whoever has its pid now.
// Once Done is closed it returns os.ErrProcessDone. Signals to a zombie
// vanish, as with kill(2); signal 0 only probes.
func (p *Process) Signal(sig syscall.Signal) error {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.ended {
		return os.ErrProcessDone
	}
	err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	if err == unix.ESRCH {
		return os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("send signal %d to pid %d: %w", int(sig), p.pid, err)
	}
	return nil
}

// endLocked records the exit. The reap loop calls announce afterwards, without
// the lock; for a process that nobody has seen yet there is nothing to announce.
func (p *Process) endLocked(e Exit) {
	p.ended, p.exit = true, e
	close(p.done)
}

// closeLocked frees the pidfd of a process that has ended.
func (p *Process) closeLocked() {
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd) // a pidfd has nothing to flush
	}
	p.pidfd = -1
}

// announce calls what Notify was given. It needs no lock: the fields are final.
func (p *Process) announce() {
	for _, f := range p.notify {
		f(p.exit)
	}
}
