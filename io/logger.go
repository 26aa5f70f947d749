package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// logger is a logging binary. It reads the streams itself: the process gets the write ends of its pipes.
type logger struct {
	child Child
}

// loggerPipes are both streams' pipes to a logging binary.
type loggerPipes struct {
	out, err [2]int // read and write end, -1 where closed
}

func newLoggerPipes() (*loggerPipes, error) {
	p := &loggerPipes{out: [2]int{-1, -1}, err: [2]int{-1, -1}}
	var err error
	if p.out[0], p.out[1], err = newPipe(); err != nil {
		return nil, err
	}
	if p.err[0], p.err[1], err = newPipe(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// take hands over a write end.
func take(fd *int) int {
	n := *fd
	*fd = -1
	return n
}

func (p *loggerPipes) close() {
	for _, fd := range []int{p.out[0], p.out[1], p.err[0], p.err[1]} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing to flush
		}
	}
}

// startLogger starts a logging binary with the pipes' read ends as descriptors 3 and 4, which it then closes here, and waits until it is ready.
// When that fails the binary has ended.
func startLogger(ctx context.Context, cfg Config, t target, p *loggerPipes) (*logger, error) {
	r, w, err := newPipe()
	if err != nil {
		return nil, err
	}
	ready, err := newEnd(r, "ready pipe")
	if err != nil {
		_ = unix.Close(w) // nothing to flush
		return nil, err
	}
	defer ready.close()
	files := []*os.File{
		nil, nil, nil,
		os.NewFile(uintptr(take(&p.out[0])), "stdout of logger"),
		os.NewFile(uintptr(take(&p.err[0])), "stderr of logger"),
		os.NewFile(uintptr(w), "ready"),
	}
	child, err := cfg.Spawn(loggerCommand(cfg, t, files))
	for _, f := range files[3:] {
		f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("start logging binary %s: %w: %w", t.path, ErrLogger, err)
	}
	l := &logger{child: child}
	if err := l.awaitReady(ctx, ready, t.scheme); err != nil {
		return nil, errors.Join(fmt.Errorf("logging binary %s: %w: %w", t.path, ErrLogger, err), l.end(0))
	}
	return l, nil
}

// loggerCommand has the arguments in the URI's order, and an environment of two variables.
func loggerCommand(cfg Config, t target, files []*os.File) SpawnConfig {
	args := []string{t.path}
	for _, q := range t.query {
		args = append(args, q.key, q.value)
	}
	return SpawnConfig{
		Path: t.path, Args: args, Files: files,
		Env: []string{"CONTAINER_ID=" + cfg.ID, "CONTAINER_NAMESPACE=" + cfg.Namespace},
	}
}

// awaitReady waits for a byte from the binary. Of the first protocol the end of file will do as well: it has closed the pipe, or has never heard of it.
func (l *logger) awaitReady(ctx context.Context, ready *end, s scheme) error {
	ctx, cancel := context.WithTimeout(ctx, loggerReadyMax)
	defer cancel()
	got := make(chan int, 1)
	go ready.awaitByte(got)
	n := -1
	select {
	case n = <-got:
	case <-l.child.Done():
		n = l.lastByte(ready, got)
	case <-ctx.Done():
		ready.interrupt()
		n = <-got
	}
	switch {
	case n == 1, n == 0 && s == schemeBinary:
		return nil
	case n == 0:
		return errors.New("it did not call ready (it may have crashed or exited prematurely)")
	case ctx.Err() != nil:
		return fmt.Errorf("it is not ready after %v: %w", loggerReadyMax, ctx.Err())
	}
	return errors.New("it ended before it was ready")
}

// lastByte looks once more when the binary has ended: it may have got ready and left.
func (l *logger) lastByte(ready *end, got <-chan int) int {
	ready.interrupt()
	if n := <-got; n >= 0 {
		return n
	}
	var b [1]byte
	n, err := unix.Read(ready.fd, b[:])
	if err != nil {
		return -1
	}
	return n
}

// awaitByte sends how many bytes came: 1, 0 at the end of file, -1 when it was interrupted.
func (e *end) awaitByte(got chan<- int) {
	var b [1]byte
	n := -1
	err := e.raw.Read(func(fd uintptr) bool {
		var err error
		n, err = unix.Read(int(fd), b[:])
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err != nil {
		n = -1
	}
	got <- n
}

// end waits for the binary to end by itself, which it does at the end of its files, then asks it to, then kills it.
func (l *logger) end(patience time.Duration) error {
	for _, sig := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		if sig != 0 {
			if err := l.child.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return fmt.Errorf("send signal %d to logging binary, pid %d: %w", int(sig), l.child.Pid(), err)
			}
			patience = loggerEndMax
		}
		timer := time.NewTimer(patience)
		select {
		case <-l.child.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("logging binary, pid %d, lives %v after SIGKILL", l.child.Pid(), loggerEndMax)
}
