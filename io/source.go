package stdio

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// source is the end that a stream is read from. Its goroutine alone opens, swaps and closes it; others look at it and interrupt it.
type source struct {
	name string

	// mu guards end and loose against those who are not the stream's goroutine.
	mu    sync.Mutex
	end   *end // nil while loose and when closed
	loose int  // the descriptor while it is out of the poller, else -1
}

func newSource(e *end, name string) *source {
	return &source{name: name, end: e, loose: -1}
}

// loosen takes the descriptor out of the poller, which would else be told of every write. It returns the descriptor's new number.
func (s *source) loosen() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, err := unix.FcntlInt(uintptr(s.end.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicate %s: %w", s.name, err)
	}
	s.end.close()
	s.end, s.loose = nil, fd
	return fd, nil
}

// fasten puts it back.
func (s *source) fasten() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd := s.loose
	s.loose = -1
	e, err := newEnd(fd, s.name)
	s.end = e
	return err
}

// interrupt ends every wait of the stream's goroutine. A loose source is not waited for.
func (s *source) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.end.interrupt()
	}
}

// pending is the number of bytes that wait to be read, 0 when the source is closed.
func (s *source) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.end != nil:
		return buffered(s.end.fd)
	case s.loose >= 0:
		return buffered(s.loose)
	}
	return 0
}

// inode identifies the pipe, 0 when the source is closed.
func (s *source) inode() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd := s.loose
	if s.end != nil {
		fd = s.end.fd
	}
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.end.close()
	}
	if s.loose >= 0 {
		_ = unix.Close(s.loose) // nothing to flush
	}
	s.end, s.loose = nil, -1
}
