package stdio

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Cause: splice says EAGAIN for a full sink also when the source has ended, and the source's last edge had come: the stream never ended.
func TestASourceThatEndsBehindAFullSinkEnds(t *testing.T) {
	src, dst := pipePair(t), pipePair(t)
	if _, err := unix.Write(src[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(dst[1], make([]byte, 4096)); err != nil {
			break
		}
	}
	buf := make([]byte, 1)
	if _, err := unix.Read(src[0], buf); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(src[1]); err != nil {
		t.Fatal(err)
	}
	src[1] = -1
	m := &mover{dst: &end{fd: dst[1]}}
	if n, st := m.splice(src[0]); n != 0 || st != atEOF {
		t.Errorf("moved %d, state %v, want the end", n, st)
	}
}

func pipePair(t *testing.T) *[2]int {
	t.Helper()
	p := [2]int{-1, -1}
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range p {
			_ = unix.Close(fd) // -1 for one that a test has closed
		}
	})
	return &p
}
