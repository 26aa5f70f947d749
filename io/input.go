package stdio

import (
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// input is stdin: the manager's FIFO and where it goes, a pipe to the process or its terminal. The shim holds a writing end of the FIFO, so that a manager that
// detaches does not end the stream; only CloseStdin lets go of it.
type input struct {
	relay relay
	term  *terminal // in place of relay.dst

	mu sync.Mutex
	// mu guards:
	hold int // the writing end that is held; -1 once closed
}

// openInput makes descriptor 0 of the process.
func (s *Streams) openInput() error {
	if s.cfg.Stdin == "" {
		null, err := s.devNull()
		s.files[0] = null
		return err
	}
	in, err := openInputFIFO(s.cfg.Stdin)
	if err != nil {
		return err
	}
	s.input = in
	their, our, err := s.pipe(0)
	if err != nil {
		return err
	}
	s.files[0] = their
	in.relay.dst, err = newEnd(our, streamNames[0])
	return err
}

func openInputFIFO(path string) (*input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open stdin: %w", err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 {
		return nil, fmt.Errorf("stdin %s is not a FIFO: %w", path, ErrInvalid)
	}
	read, write, err := openBoth(path)
	if err != nil {
		return nil, err
	}
	src, err := newEnd(read, path)
	if err != nil {
		_ = unix.Close(write)
		return nil, err
	}
	in := &input{hold: write}
	in.relay.src = src
	return in, nil
}

// run moves the stream until its end, or until the process has closed its side; then whoever still writes is told by EPIPE.
func (in *input) run() {
	defer in.relay.src.close()
	defer in.close()
	if in.term != nil {
		in.term.feed(in.relay.src)
		return
	}
	defer in.relay.dst.close()
	_ = in.relay.run() // EPIPE is the process's way to say that it reads no more
}

// close lets go of the writing end: what is in the FIFO is still handed on, and then the stream ends.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.hold >= 0 {
		_ = unix.Close(in.hold)
		in.hold = -1
	}
}

func (in *input) stop(running bool) {
	in.relay.src.stop()
	if in.relay.dst != nil {
		in.relay.dst.stop()
	}
	in.close()
	if !running {
		in.relay.src.close()
		if in.relay.dst != nil {
			in.relay.dst.close()
		}
	}
}
