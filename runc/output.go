package runc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxText is how much of what a failed runtime has printed or logged is
	// read, in bytes: its end.
	maxText = 64 << 10
	// maxResult is the longest result that is taken, in bytes. A state holds all
	// annotations, of which Kubernetes allows 256 KiB.
	maxResult = 4 << 20
)

// output is where the runtime prints: files in memory. A pipe would need a
// goroutine, and would not end while any child of the runtime held it.
//
// With a terminal, runc's own stdout and stderr are free for this: its init gets the
// terminal instead. Without one they are the container's streams.
type output struct {
	stdout *os.File // owned; nil when it is no result
	stderr *os.File // owned; nil when nothing is captured; holds stdout too when that is no result
}

// openOutput makes the files that c wants and puts them in its place.
func openOutput(c *call) (output, error) {
	var o output
	if !c.capture && !c.result {
		return o, nil
	}
	var err error
	if o.stderr, err = memoryFile(); err != nil {
		return o, err
	}
	if c.result {
		if o.stdout, err = memoryFile(); err != nil {
			o.close()
			return o, err
		}
		c.files[1], c.files[2] = o.stdout, o.stderr
		return o, nil
	}
	for i := 1; i < len(c.files); i++ {
		if c.files[i] == nil {
			c.files[i] = o.stderr
		}
	}
	return o, nil
}

func (o *output) close() {
	closeMemory(o.stdout)
	closeMemory(o.stderr)
}

// result is what was printed as the verb's result.
func (o *output) result() ([]byte, error) {
	if o.stdout == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.NewSectionReader(o.stdout, 0, maxResult+1))
	if err != nil {
		return nil, fmt.Errorf("read output: %w", err)
	}
	if len(data) > maxResult {
		return nil, fmt.Errorf("read output: it is longer than %d bytes", maxResult)
	}
	return data, nil
}

// text is the end of what was printed besides a result, without blanks around it.
func (o *output) text() string {
	if o.stderr == nil {
		return ""
	}
	data, err := readEnd(o.stderr, 0)
	if err != nil {
		return "" // the words are lost, the exit is not
	}
	return strings.TrimSpace(string(data))
}

// readEnd reads what a file holds from an offset on, the last maxText bytes at most.
func readEnd(f *os.File, from int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if from > size { // it was truncated meanwhile
		from = 0
	}
	from = max(from, size-maxText)
	return io.ReadAll(io.NewSectionReader(f, from, size-from))
}

// memoryFile makes an empty file in memory. The caller closes it.
func memoryFile() (*os.File, error) {
	const name = "runtime-output"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func closeMemory(f *os.File) {
	if f != nil {
		_ = f.Close() // it is gone with this
	}
}
