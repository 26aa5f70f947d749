package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// streams are the FIFOs of a task.
type streams struct {
	stdin, stdout, stderr string
	terminal              bool
}

// writerVerb makes this program the writer in a container: `bench writer SIZE TOTAL` writes TOTAL bytes to standard output, SIZE bytes a call.
const writerVerb = "writer"

// writerPath is where the writer stands in the root file system.
const writerPath = "/wisp-bench-writer"

func writeBytes(args []string) int {
	size, err1 := strconv.Atoi(args[0])
	total, err2 := strconv.Atoi(args[1])
	if err1 != nil || err2 != nil {
		return 2
	}
	block := make([]byte, size)
	for i := range block {
		block[i] = 'x'
	}
	block[size-1] = '\n'
	for total > 0 {
		n, err := unix.Write(1, block[:min(size, total)])
		if err != nil {
			return 1
		}
		total -= n
	}
	return 0
}

// installWriter puts this very program, which is static, into the root file system.
func (l *lab) installWriter() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.rootfs, writerPath), self, 0o755)
}

// load is one kind of output.
type load struct {
	figure      string
	size, total int
	terminal    bool
}

func (l *lab) loads() []load {
	all := []load{
		{"stdout, 256 KiB writes", 256 << 10, 1 << 30, false},
		{"stdout, lines of 100 B", 100, 128 << 20, false},
		{"terminal", 32 << 10, 128 << 20, true},
	}
	if l.quick {
		for i := range all {
			all[i].total /= 4
		}
	}
	return all
}

func benchStream(ctx context.Context, l *lab) error {
	for _, load := range l.loads() {
		for round := range max(3, l.rounds/3) {
			if err := l.rawStream(ctx, load); err != nil {
				return fmt.Errorf("%s: %w", load.figure, err)
			}
			for i := range l.contenders {
				if err := l.stream(ctx, l.contenders[(round+i)%len(l.contenders)], load); err != nil {
					return fmt.Errorf("%s: %w", load.figure, err)
				}
			}
		}
	}
	return nil
}

// stream runs one load: from Start of the task to end of file at the reader.
func (l *lab) stream(ctx context.Context, c contender, load load) error {
	ctx, cancel := context.WithTimeout(ctx, 5*callMax)
	defer cancel()
	b, err := l.newBox(c, load.terminal, writerPath, writerVerb, strconv.Itoa(load.size), strconv.Itoa(load.total))
	if err != nil {
		return err
	}
	s := streams{stdout: filepath.Join(b.dir, "stdout"), terminal: load.terminal}
	if !load.terminal {
		s.stderr = filepath.Join(b.dir, "stderr") // the reference refuses stdout alone
	}
	read, err := openReaders(s)
	if err != nil {
		return err
	}
	defer read.close()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.create(ctx, s); err != nil {
		return err
	}
	if err := l.clock(load, c.name, b.server.Pid, func() error { return b.run(ctx) }, read.discard); err != nil {
		return err
	}
	return b.down(ctx)
}

// clock times a load from before start until bytes has seen its end, and the processor time of pid meanwhile.
func (l *lab) clock(load load, name string, pid int, start func() error, bytes func() (int64, error)) error {
	cpu := cpuOf(pid)
	begun := time.Now()
	if err := start(); err != nil {
		return err
	}
	n, err := bytes()
	if err != nil {
		return err
	}
	took := time.Since(begun)
	cpu = cpuOf(pid) - cpu
	if n < int64(load.total) {
		return fmt.Errorf("%s: %d bytes arrived of %d", name, n, load.total)
	}
	gib := float64(n) / (1 << 30)
	l.add(load.figure, name, gib*1024/took.Seconds())
	l.add(load.figure+": CPU per GiB", name, ms(cpu)/gib)
	return nil
}

// readers are the manager's ends of the FIFOs.
type readers struct{ files []*os.File }

func openReaders(s streams) (*readers, error) {
	r := &readers{}
	for _, path := range []string{s.stdout, s.stderr} {
		if path == "" {
			continue
		}
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, err
		}
		// Non-blocking, so that the open does not wait for a writer; the reads go over Go's poller.
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		r.files = append(r.files, os.NewFile(uintptr(fd), path))
	}
	return r, nil
}

// discard reads standard output to its end. Nobody has the FIFO open for writing before Create, so it is called after that.
func (r *readers) discard() (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.files[0]}, make([]byte, 1<<20))
}

func (r *readers) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}
