package bundle

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
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
	err = writeAll(fd, data)
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

// writeAll writes all of data to a file.
func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

// ReadPid reads a pid file: one decimal number above 0. A file that is not there
// is an error that wraps fs.ErrNotExist.
func ReadPid(path string) (int, error) {
	name := filepath.Base(path)
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxPidFile+1))
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
