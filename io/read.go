package stdio

import (
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// copyBuffer is what bytes pass through on their way to a file, and to and from a terminal.
const copyBuffer = 64 << 10

// buffers are taken for the time of a copy and not kept: a stream that waits holds none.
var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// copyOut waits for bytes of src, gathers what there is, up to a buffer's size, and hands it to use. It returns io.EOF at the end of the stream; a terminal whose
// other side nobody has open (EIO) has ended if hungUp says so, and is waited for if not.
func (e *end) copyOut(hungUp func() bool, use func([]byte) error) (n int, err error) {
	var buf *[copyBuffer]byte
	werr := e.readable(func() bool {
		if buf == nil {
			buf = buffers.Get().(*[copyBuffer]byte)
		}
		n, err = gather(e.fd, buf[:], hungUp)
		if n > 0 || err != nil {
			return true
		}
		buffers.Put(buf)
		buf = nil
		return false
	})
	if buf != nil {
		defer buffers.Put(buf)
	}
	if n > 0 {
		if uerr := use(buf[:n]); uerr != nil {
			return n, uerr
		}
	}
	if err == nil {
		err = werr
	}
	return n, err
}

// gather reads until there is nothing, p is full or the stream has ended. A terminal gives 4 KiB at the most at a time: a write for each would cost more than
// the reads do.
func gather(fd int, p []byte, hungUp func() bool) (n int, err error) {
	for n < len(p) {
		m, err := unix.Read(fd, p[n:])
		switch {
		case m > 0:
			n += m
		case err == unix.EINTR:
		case err == unix.EAGAIN, err == unix.EIO && !hungUp():
			return n, nil
		case err == nil, err == unix.EIO:
			return n, io.EOF
		default:
			return n, err
		}
	}
	return n, nil
}

// never is hungUp for what is no terminal.
func never() bool { return true }
