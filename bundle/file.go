package bundle

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
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
