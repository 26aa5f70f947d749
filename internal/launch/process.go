package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wisp-shim/wisp/protos"
	"golang.org/x/sys/unix"
)

// Process is a shim's process, held by a pidfd: its end can be waited for although it is nobody's child here, and a reused pid is never hit.
type Process struct {
	Pid  int
	file *os.File
}

// Process asks the shim for its pid and takes hold of it. The caller closes it.
func (s *Shim) Process(ctx context.Context) (*Process, error) {
	response, err := s.Task.Connect(ctx, &protos.ConnectRequest{Id: s.config.ID})
	if err != nil {
		return nil, fmt.Errorf("ask shim for its pid: %w", err)
	}
	return OpenProcess(int(response.GetShimPid()))
}

// OpenProcess takes hold of a process. The caller closes it.
func OpenProcess(pid int) (*Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("open process: no such pid: %d", pid)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return &Process{Pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Wait returns when the process has ended, reaped or not, or with ctx's error.
func (p *Process) Wait(ctx context.Context) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(ended)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = p.file.SetReadDeadline(time.Time{})
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	return nil
}

// ended tells whether the process of a pidfd has ended; it is asked again when the pidfd turns readable.
func ended(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

// Kill sends SIGKILL. A process that has ended already is no error.
func (p *Process) Kill() error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) }); err != nil {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	if sent != nil && !errors.Is(sent, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, sent)
	}
	return nil
}

// Close lets go of the process.
func (p *Process) Close() error { return p.file.Close() }
