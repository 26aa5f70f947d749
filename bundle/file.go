package bundle

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPidFile bounds what is read of a pid file, in bytes: ten digits and blanks.
const maxPidFile = 64

// WriteFile writes a file whole or not at all: into a temporary file beside it,
// which then takes its name. Whoever opens path finds the old content or
// the new. The mode is mode, whatever the umask; a link at path is replaced, not
// followed. On failure nothing is left behind.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := writeFile(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// writeFile makes the five system calls that this takes. (The os package makes twelve: it tries to put a file under the poller.)
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	fd, err := unix.Open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err != nil {
		return &os.PathError{Op: "open", Path: temp, Err: err}
	}
	defer func() {
		if err != nil {
			_ = unix.Unlink(temp) // the first error is the one to tell
		}
	}()
	err = WriteAll(fd, data)
	if err == nil {
		err = unix.Fchmod(fd, uint32(mode.Perm()))
	}
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: temp, Err: err}
	}
	if err = unix.Rename(temp, path); err != nil {
		return &os.LinkError{Op: "rename", Old: temp, New: path, Err: err}
	}
	return nil
}

// WriteAll writes all of data to a descriptor that blocks.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

// readFile reads a regular file whole, with four system calls where the os package makes ten. One of more than limit bytes is an error.
func readFile(path string, limit int) (data []byte, st unix.Stat_t, err error) {
	fail := func(op string, err error) error { return &os.PathError{Op: op, Path: path, Err: err} }
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, st, fail("open", err)
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, st, fail("stat", err)
	}
	data = make([]byte, 0, max(st.Size, 0)+1) // one more, for the read that finds the end
	for {
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data)) // it grows while it is read
		}
		n, err := unix.Read(fd, data[len(data):cap(data)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, st, fail("read", err)
		}
		data = data[:len(data)+n]
		if len(data) > limit {
			return nil, st, fail("read", unix.EFBIG)
		}
		if n == 0 {
			return data, st, nil
		}
	}
}

// ReadPid reads a pid file: one decimal number above 0. A file that is not there
// is an error that wraps fs.ErrNotExist.
func ReadPid(path string) (int, error) {
	name := filepath.Base(path)
	data, _, err := readFile(path, maxPidFile+1)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	text := strings.TrimSpace(string(data))
	pid, err := strconv.ParseInt(text, 10, 32)
	if err != nil || pid < 1 || pid > math.MaxInt32 || len(data) > maxPidFile {
		return 0, fmt.Errorf("read %s: %.20q is not a pid", name, text)
	}
	return int(pid), nil
}
