package reaper

import (
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// cldExited and cldDumped are si_code of a child that exited, and of one that was killed and dumped core (CLD_EXITED, CLD_DUMPED).
	cldExited = 1
	cldDumped = 3
	// execFailed is the exit code of ForkExec's child when its exec fails
	// (forkAndExecInChild in Go's syscall/exec_linux.go).
	execFailed = 253
)

// heldChild is a zombie that ForkExec may be about to wait for by its pid. If
// the reap loop took it, that pid could go to another child before ForkExec
// waits, and ForkExec would swallow the other's exit. So the loop pauses in front of it
// until the forks that were going on when it was seen are over: that is the
// length of an exec, and happens only while Start runs and a child exits 253.
type heldChild struct {
	pid  int
	mark uint64 // forks older than this may own it
}

// siginfo is the part of siginfo_t that waitid fills in.
type siginfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0)) / 8]int32 // 64-bit padding
	pid                int32
	uid                uint32
	status             int32
	_                  [128]byte
}

// wait reaps a child without blocking. A pid of 0 means that none is dead.
func wait(which int) (pid int, ws syscall.WaitStatus, err error) {
	for {
		pid, err = syscall.Wait4(which, &ws, syscall.WNOHANG, nil)
		if err != syscall.EINTR {
			return pid, ws, err
		}
	}
}

// look is waitid without reaping and without blocking. A pid of 0 means that the
// child lives. The error is ECHILD when there is no such child.
func look(idType, id int) (info siginfo, err error) {
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, uintptr(idType), uintptr(id),
			uintptr(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
		switch errno {
		case 0:
			return info, nil
		case syscall.EINTR:
		default:
			return siginfo{}, errno
		}
	}
}

// isChild reports whether the pid is a child of this process, a zombie included.
func isChild(pid int) bool {
	if pid > math.MaxInt32 {
		return false // the kernel would look at the lower half alone
	}
	_, err := look(unix.P_PID, pid)
	return err == nil
}

// exit decodes what look has found.
func (i *siginfo) exit() Exit {
	e := Exit{Pid: int(i.pid), Status: int(i.status), At: time.Now()}
	if i.code != cldExited {
		e.Signal, e.Core = syscall.Signal(i.status), i.code == cldDumped
		e.Status = signalBase + int(i.status)
	}
	return e
}

// peekLocked returns the child to take next. A pid of 0 means that there is none now.
func (r *Reaper) peekLocked() siginfo {
	info, err := look(unix.P_ALL, 0)
	pid := int(info.pid)
	if err != nil || pid == 0 {
		return siginfo{}
	}
	if len(r.forks) == 0 || info.code != cldExited || info.status != execFailed || r.live[pid] != nil {
		return info
	}
	if r.held.pid != pid {
		r.held = heldChild{pid: pid, mark: r.nextLocked()}
	}
	if r.forks.oldest() < r.held.mark {
		return siginfo{} // endForkLocked wakes Run
	}
	r.held = heldChild{}
	return info
}
