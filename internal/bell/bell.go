//go:build amd64 || arm64

package bell

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bell rings for some signals. They are nobody else's as long as it is open: no os/signal, no other Bell.
type Bell struct {
	C <-chan struct{} // receives when one or more have come: ask Took

	file    *os.File // the eventfd
	signals []syscall.Signal
	old     []action
	done    chan struct{} // closed when listen has ended
}

// action is the kernel's struct sigaction. A handler of 0 is SIG_DFL, of 1 SIG_IGN.
type action struct {
	handler, flags uintptr
	restorer       uintptr
	mask           uint64
}

// Flags of an action (asm-generic/signal.h): our handler runs on the stack that the Go runtime has made for signals, and calls that it
// interrupts go on.
const flags = 0x08000000 /* SA_ONSTACK */ | 0x10000000 /* SA_RESTART */

// Open makes a bell for signals. The caller closes it.
func Open(signals ...syscall.Signal) (*Bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd for signals: %w", err)
	}
	c := make(chan struct{}, 1)
	b := &Bell{C: c, file: os.NewFile(uintptr(fd), "signals"), done: make(chan struct{})}
	for _, s := range signals {
		arm(int(s), fd)
		old, err := sigaction(s, &action{handler: handlerPC(), flags: flags | restorerFlag, restorer: restorerPC(), mask: ^uint64(0)})
		if err != nil {
			arm(int(s), -1)
			close(b.done)
			b.Close()
			return nil, fmt.Errorf("handle signal %d: %w", int(s), err)
		}
		b.signals, b.old = append(b.signals, s), append(b.old, old)
	}
	go b.listen(c)
	return b, nil
}

// listen passes the eventfd's readiness on, until Close.
func (b *Bell) listen(c chan<- struct{}) {
	defer close(b.done)
	var buf [8]byte
	for {
		if _, err := b.file.Read(buf[:]); err != nil {
			return
		}
		select {
		case c <- struct{}{}:
		default: // it has been told, and has not looked yet
		}
	}
}

// Took tells whether a signal has come since it was asked last.
func (b *Bell) Took(s syscall.Signal) bool { return take(int(s)) }

// Close gives the signals back to whom they belonged before. It is for the end of a program: a handler that runs in another thread at
// this very moment may yet write to the descriptor's number.
func (b *Bell) Close() {
	for i, s := range b.signals {
		_, _ = sigaction(s, &b.old[i]) // it worked before
		arm(int(s), -1)
		take(int(s))
	}
	b.signals, b.old = nil, nil
	_ = b.file.Close()
	<-b.done
}

// sigaction is rt_sigaction(2).
func sigaction(s syscall.Signal, a *action) (old action, err error) {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(a.mask), 0, 0)
	if errno != 0 {
		return old, errno
	}
	return old, nil
}
