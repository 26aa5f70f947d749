package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// benchLife runs whole lives of /bin/true: raw runc and each contender in turn, the order rotating from round to round.
func benchLife(ctx context.Context, l *lab) error {
	for round := range l.rounds {
		if err := l.rawLife(ctx); err != nil {
			return err
		}
		for i := range l.contenders {
			c := l.contenders[(round+i)%len(l.contenders)]
			if err := l.life(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch is a stop watch that records laps.
type watch struct {
	l    *lab
	name string
	at   time.Time
}

func (l *lab) watch(name string) *watch { return &watch{l, name, time.Now()} }

func (w *watch) lap(figure string) {
	now := time.Now()
	w.l.add(figure, w.name, ms(now.Sub(w.at)))
	w.at = now
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (l *lab) life(ctx context.Context, c contender) error {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	b, err := l.newBox(c, false, "/bin/true")
	if err != nil {
		return err
	}
	begun := time.Now()
	w := l.watch(c.name)
	if err := b.start(ctx); err != nil {
		return err
	}
	w.lap("start")
	if err := b.create(ctx, streams{}); err != nil {
		return err
	}
	w.lap("create")
	if err := b.run(ctx); err != nil {
		return err
	}
	w.lap("start task")
	if err := b.wait(ctx); err != nil {
		return err
	}
	w.lap("(until Wait answers)")
	if err := b.delete(ctx); err != nil {
		return err
	}
	w.lap("delete task")
	cpu := cpuOf(b.server.Pid)
	w.at = time.Now()
	b.shutdown(ctx)
	w.lap("(shutdown)")
	l.add("whole life", c.name, ms(time.Since(begun)))
	l.add("shim CPU of a life", c.name, ms(cpu))
	w.at = time.Now()
	if _, err := b.shim.Delete(ctx); err != nil {
		return err
	}
	w.lap("delete binary")
	return b.clear()
}

func (l *lab) rawLife(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	b, err := l.newBox(contender{name: rawName}, false, "/bin/true")
	if err != nil {
		return err
	}
	begun := time.Now()
	w := l.watch(rawName)
	pidFile := filepath.Join(b.dir, "init.pid")
	if err := l.raw(ctx, "create", "--bundle", b.dir, "--pid-file", pidFile, b.id); err != nil {
		return err
	}
	w.lap("create")
	fd, err := pidfdOf(pidFile)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	w.at = time.Now()
	if err := l.raw(ctx, "start", b.id); err != nil {
		return err
	}
	w.lap("start task")
	if err := pollIn(fd); err != nil {
		return err
	}
	w.lap("(until Wait answers)")
	if err := l.raw(ctx, "delete", b.id); err != nil {
		return err
	}
	w.lap("delete task")
	l.add("whole life", rawName, ms(time.Since(begun)))
	return b.clear()
}

func pidfdOf(pidFile string) (int, error) {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return -1, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return -1, err
	}
	return unix.PidfdOpen(pid, 0)
}

// pollIn blocks until fd is readable, which a pidfd is when its process has ended.
func pollIn(fd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}

// cpuOf is the processor time of all threads of a process, ended ones too (clock_getcpuclockid(3); 2 is the kernel's CPUCLOCK_SCHED).
func cpuOf(pid int) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
