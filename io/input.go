package stdio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pieces are the buffers of inputs that are copied.
var pieces = sync.Pool{New: func() any { return new([inputSize]byte) }}

// input is the stream from the manager to the process.
type input struct {
	src     *source  // what is read, unless it is file
	fifo    bool     // src is a FIFO, not a device
	file    *os.File // a regular file, or a device that cannot be waited for
	dst     *end     // the pipe's write end, owned; or the terminal, borrowed
	console *console // set if dst is a terminal
	closing *atomic.Bool
	last    byte // that went to a terminal

	// mu guards keep.
	mu   sync.Mutex
	keep int // the FIFO's write end, held so that a client that leaves is no end of file; -1 once CloseStdin was called
}

// openInput opens both ends of a FIFO, the read end first, so that neither open waits; or another file for reading.
func openInput(path string, closing *atomic.Bool) (*input, error) {
	in := &input{keep: -1, closing: closing}
	fd, err := openFD(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if in.fifo, err = isFIFO(fd); err != nil {
		_ = unix.Close(fd) // nothing to flush
		return nil, err
	}
	if !in.fifo {
		return in, in.openOther(fd, path)
	}
	if in.keep, err = openFD(path, unix.O_WRONLY); err != nil {
		_ = unix.Close(fd) // nothing to flush
		return nil, err
	}
	e, err := newEnd(fd, path)
	if err != nil {
		in.closeKeep()
		return nil, err
	}
	in.src = newSource(e, "stdin")
	return in, nil
}

// openOther takes ownership of fd. Files and many devices are always ready, and the poller does not take them.
func (in *input) openOther(fd int, path string) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		var e *end
		if e, err = newEnd(dup, path); err == nil {
			_ = unix.Close(fd) // dup is used
			in.src = newSource(e, "stdin")
			return nil
		}
	}
	in.file = os.NewFile(uintptr(fd), path)
	return unix.SetNonblock(fd, false)
}

// closeKeep lets the end of file come when the last client has left and all is moved.
func (in *input) closeKeep() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.keep >= 0 {
		_ = unix.Close(in.keep) // nothing to flush
		in.keep = -1
	}
}

// interrupt ends every wait of run, but for the read of a file, which does not wait long, and the writes to a terminal, which is its owner's to
// interrupt.
func (in *input) interrupt() {
	if in.src != nil {
		in.src.interrupt()
	}
	if in.dst != nil {
		in.dst.interrupt()
	}
}

// run moves bytes until the end of file, until the process has closed its end, or until Close interrupts. Errors are not kept: a process that
// reads no more is no failure.
func (in *input) run() {
	switch {
	case in.console != nil:
		if in.copy() == nil {
			in.endTerminal()
		}
	case in.fifo:
		_ = newMover(in.src, in.dst, -1, in.closing).run()
	default:
		_ = in.copy()
	}
	in.close()
}

// close closes what the stream owns. Clients that still write get EPIPE.
func (in *input) close() {
	in.closeKeep()
	if in.src != nil {
		in.src.close()
	}
	if in.file != nil {
		in.file.Close()
	}
	if in.dst != nil && in.console == nil {
		in.dst.close()
	}
}

// copy is for terminals and files.
func (in *input) copy() error {
	var buf *[inputSize]byte
	var n int
	var end error
	read := func(fd uintptr) bool {
		if buf == nil {
			buf, _ = pieces.Get().(*[inputSize]byte)
		}
		for {
			n, end = unix.Read(int(fd), buf[:])
			if !errors.Is(end, unix.EINTR) {
				break
			}
		}
		if !errors.Is(end, unix.EAGAIN) {
			return true
		}
		pieces.Put(buf)
		buf, n = nil, 0
		return false
	}
	for {
		if err := in.read(read); err != nil {
			return err
		}
		if n <= 0 || end != nil {
			pieces.Put(buf)
			return end
		}
		_, err := in.dst.file.Write(buf[:n])
		in.last = buf[n-1]
		pieces.Put(buf)
		buf = nil
		if err != nil && !(in.console != nil && errors.Is(err, unix.EIO)) { // EIO: nobody has the terminal open now, but may again
			return err
		}
		if in.closing.Load() {
			return errInterrupted
		}
	}
}

func (in *input) read(step func(uintptr) bool) error {
	if in.src != nil {
		return in.src.end.raw.Read(step)
	}
	step(in.file.Fd())
	return nil
}

// endTerminal tells the process that no more input comes. A terminal has no end of file but the character for it, which means that only while it
// gathers lines; on a line that has begun it only hands on the line, and counts when it comes again. Output goes on.
func (in *input) endTerminal() {
	eof, ok := in.console.eof()
	if !ok {
		return
	}
	end := []byte{eof}
	if in.last != 0 && in.last != '\n' && in.last != '\r' && in.last != eof {
		end = append(end, eof)
	}
	_, _ = in.dst.file.Write(end) // the process may have closed it
}
