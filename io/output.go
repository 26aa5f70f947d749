package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// copies are the buffers of streams that are copied. A stream holds one only while there are bytes to move.
var copies = sync.Pool{New: func() any { return new([copySize]byte) }}

// output is one stream from the process to the manager: a pipe, or a terminal.
type output struct {
	name    string
	src     *source
	dst     *sink    // nil: the bytes are dropped
	tty     *console // set if src is a terminal
	closing *atomic.Bool
	exited  *atomic.Bool // a terminal without a process ends when it is drained
	release func(*sink, context.Context) error
	mover   *mover // nil where bytes are copied

	copied   atomic.Uint64 // bytes handed on by copying
	dropped  atomic.Uint64 // bytes that the sink refused
	handed   chan struct{} // closed by run when all is in the sink that will ever be
	err      error         // of the sink, the first; readable when handed is closed
	closeErr error         // of closing the sink; readable when run has returned
}

// begin makes the stream ready to run.
func (o *output) begin() {
	o.handed = make(chan struct{})
	if o.tty == nil && o.dst != nil && o.dst.end != nil {
		o.mover = newMover(o.src, o.dst.end, o.dst.keep, o.closing)
	}
}

// run moves bytes until the source has ended or Close interrupts, closes the source and releases the sink. ctx ends with Close.
func (o *output) run(ctx context.Context) {
	err := o.move()
	if !errors.Is(err, errInterrupted) {
		o.fail(err)
	}
	if o.tty != nil {
		o.tty.retire()
	}
	o.src.close()
	close(o.handed)
	if o.dst != nil {
		o.closeErr = o.release(o.dst, ctx)
	}
}

func (o *output) move() error {
	if o.mover != nil {
		err := o.mover.run()
		if err == nil || errors.Is(err, errInterrupted) {
			return err
		}
		// The sink is lost. The process must not be stopped by that: what it writes from now on is read and counted.
		o.fail(err)
	}
	return o.copy()
}

func (o *output) fail(err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("%s: %w", o.name, err)
	}
}

// progress is the number of bytes that have left the source.
func (o *output) progress() uint64 {
	n := o.copied.Load() + o.dropped.Load()
	if o.mover != nil {
		n += o.mover.moved.Load()
	}
	return n
}

// copy is for terminals, whose bytes come in pieces of 4 KiB at most, and for sinks that are not pipes. It gathers what is there before it writes on.
func (o *output) copy() error {
	if o.src.end == nil {
		return nil // the source is lost, and the error known
	}
	r := &reader{output: o}
	step := r.step // one closure for the stream's life
	for {
		err := o.src.end.raw.Read(step)
		switch {
		case o.closing.Load():
			r.drop()
			return errInterrupted
		case errors.Is(err, os.ErrDeadlineExceeded): // the process has exited: look again
			_ = o.src.end.file.SetReadDeadline(time.Time{}) // closed: the next wait says so
			if o.closing.Load() {
				o.src.end.interrupt()
			}
			continue
		case err != nil:
			return fmt.Errorf("wait for %s: %w", o.name, err)
		}
		if r.n > 0 {
			o.write(r.buf[:r.n])
		}
		r.drop()
		if r.end {
			return r.err
		}
	}
}

// write hands bytes to the sink, or counts them as dropped. The first error is kept; a full disk may have room again at the next write.
func (o *output) write(b []byte) {
	if o.dst == nil {
		o.copied.Add(uint64(len(b)))
		return
	}
	if o.err != nil && !full(o.err) {
		o.dropped.Add(uint64(len(b)))
		return
	}
	n, err := o.dst.out.Write(b)
	o.copied.Add(uint64(n))
	if err != nil {
		o.dropped.Add(uint64(len(b) - n))
		if !o.closing.Load() {
			o.fail(err)
		}
	}
}

// reader gathers what a source has.
type reader struct {
	*output
	buf *[copySize]byte // nil while there is nothing
	n   int
	end bool
	err error
}

func (r *reader) drop() {
	if r.buf != nil {
		copies.Put(r.buf)
	}
	r.buf, r.n = nil, 0
}

// step reads until the source is empty, and returns false if there was nothing.
func (r *reader) step(uintptr) bool {
	if r.buf == nil {
		r.buf, _ = copies.Get().(*[copySize]byte)
	}
	for r.n < copySize {
		n, err := unix.Read(r.src.end.fd, r.buf[r.n:])
		switch {
		case n > 0:
			r.n += n
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
		case r.tty != nil && (err == nil || errors.Is(err, unix.EIO)):
			// Nobody has the terminal open. While the process lives it may be opened again, and the poller tells of that.
			r.end = r.n == 0 && r.exited.Load()
		default:
			r.end, r.err = true, err
		}
		break
	}
	if r.n == 0 && !r.end {
		r.drop()
		return false
	}
	return true
}
