package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	tty "github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// Each benchmark relays the output of a child process to a FIFO that another child reads, and does so in several ways, so that one run shows the
// ratios: throughput (MB/s) and the relaying process's own time (cpu-ms/GiB). "copy" is what containerd's shim does.
const (
	benchBulk  = 512 << 20
	benchLines = 64 << 20
	benchTTY   = 64 << 20
)

type wiring func(b *testing.B, fifo, role string)

func BenchmarkStdout256KiB(b *testing.B) {
	role := fmt.Sprintf("write %d %d 1", benchBulk, 256<<10)
	compare(b, benchBulk, role, map[string]wiring{"copy": copyPipe, "wisp": ourPipe})
}

func BenchmarkStdout100B(b *testing.B) {
	role := fmt.Sprintf("write %d 100 1", benchLines)
	compare(b, benchLines, role, map[string]wiring{"copy": copyPipe, "wisp": ourPipe})
}

func BenchmarkTerminal(b *testing.B) {
	role := fmt.Sprintf("write %d 65536 1", benchTTY)
	compare(b, benchTTY, role, map[string]wiring{"copy": copyTerminal, "wisp": ourTerminal})
}

func compare(b *testing.B, total int64, role string, ways map[string]wiring) {
	for _, name := range []string{"copy", "wisp"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(total)
			var used time.Duration
			for b.Loop() {
				before := cpu()
				withReader(b, func(fifo string) { ways[name](b, fifo, role) })
				used += cpu() - before
			}
			gib := float64(total) * float64(b.N) / (1 << 30)
			b.ReportMetric(float64(used.Milliseconds())/gib, "cpu-ms/GiB")
		})
	}
}

// withReader runs relay with a FIFO that a child reads to its end.
func withReader(b *testing.B, relay func(fifo string)) {
	b.Helper()
	fifo := mkfifo(b, "out")
	fd, err := openFD(fifo, unix.O_RDONLY)
	if err != nil {
		b.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		b.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), fifo)
	cmd := roleCommand("drain")
	cmd.Stdin = f
	// It is started before its writer, whose end it would otherwise miss.
	keep, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	relay(fifo)
	keep.Close()
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
}

func ourPipe(b *testing.B, fifo, role string) {
	s := open(b, Config{Stdout: fifo})
	start(b, s, role).wait(s)
	finish(b, s)
}

func ourTerminal(b *testing.B, fifo, role string) {
	s := open(b, Config{Stdout: fifo, Terminal: true})
	startTerminal(b, s, role).wait(s)
	finish(b, s)
}

// copyPipe is io.CopyBuffer with 32 KiB between two files.
func copyPipe(b *testing.B, fifo, role string) {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd := roleCommand(role)
	cmd.Stdout = w
	relay(b, fifo, cmd, []*os.File{w}, r, func() {})
	r.Close()
}

// copyTerminal is io.CopyBuffer with 32 KiB from console's EpollConsole.
func copyTerminal(b *testing.B, fifo, role string) {
	epoller, err := tty.NewEpoller()
	if err != nil {
		b.Fatal(err)
	}
	master, path, err := tty.NewPty()
	if err != nil {
		b.Fatal(err)
	}
	slave, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		b.Fatal(err)
	}
	con, err := epoller.Add(master)
	if err != nil {
		b.Fatal(err)
	}
	go epoller.Wait()
	cmd := roleCommand(role)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	relay(b, fifo, cmd, []*os.File{slave}, con, func() {
		if err := con.Shutdown(epoller.CloseConsole); err != nil {
			b.Error(err)
		}
	})
	con.Close()
	epoller.Close()
}

func relay(b *testing.B, fifo string, cmd *exec.Cmd, ends []*os.File, src io.Reader, exited func()) {
	dst, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for _, f := range ends {
		f.Close()
	}
	var copied sync.WaitGroup
	copied.Go(func() {
		if _, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 32<<10)); err != nil && !errors.Is(err, syscall.EIO) { // EIO: the terminal's end
			b.Error(err)
		}
	})
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
	exited()
	copied.Wait()
	dst.Close()
}

// BenchmarkLife is what streams cost that carry nothing.
func BenchmarkLife(b *testing.B) {
	in, out, stderr := mkfifo(b, "in"), mkfifo(b, "out"), mkfifo(b, "err")
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(context.Background(), Config{Stdin: in, Stdout: out, Stderr: stderr})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Attach(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
