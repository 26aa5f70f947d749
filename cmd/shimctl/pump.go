package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// endOfTransmission is how a terminal spells the end of input.
const endOfTransmission = "\x04"

// pump copies our standard input to a container's. A read of standard input cannot be broken off, so it waits with poll, where a pipe of its
// own can wake it.
type pump struct {
	from    *os.File
	to      io.WriteCloser
	eot     bool // spell the end instead of closing
	ended   func()
	wake    [2]int // a pipe; stop closes its write end
	wakeErr error
	done    chan struct{}
}

func newPump(from *os.File, to io.WriteCloser, eot bool, ended func()) *pump {
	m := &pump{from: from, to: to, eot: eot, ended: ended, done: make(chan struct{})}
	m.wakeErr = unix.Pipe2(m.wake[:], unix.O_CLOEXEC)
	return m
}

// run ends at the end of input, when the container takes no more, or with stop.
func (m *pump) run() {
	defer close(m.done)
	if m.wakeErr != nil {
		return
	}
	fd := int(m.from.Fd())
	buffer := make([]byte, 32<<10)
	for m.ready(fd) {
		n, err := unix.Read(fd, buffer)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || n == 0 {
			m.finish()
			return
		}
		if _, err := m.to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// ready waits for input or its end; false when stop has been called.
func (m *pump) ready(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(m.wake[0])}}
	for {
		_, err := unix.Poll(poll, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && poll[1].Revents == 0
	}
}

// finish hands the end of input on.
func (m *pump) finish() {
	if m.eot {
		_, _ = io.WriteString(m.to, endOfTransmission)
		return
	}
	_ = m.to.Close()
	m.ended()
}

// stop ends the copying and returns when it has ended. It closes the container's stdin.
func (m *pump) stop() {
	_ = m.to.Close()
	if m.wakeErr == nil {
		_ = unix.Close(m.wake[1])
	}
	<-m.done
	if m.wakeErr == nil {
		_ = unix.Close(m.wake[0])
	}
}
