package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	probeTimeout  = 100 * time.Millisecond // a connect to a live socket; it waits only when the backlog is full
	socketBacklog = 4096                   // the kernel caps it at net.core.somaxconn
	socketUmask   = 0o177                  // leaves a socket 0600 from its first moment
)

// claimSocket makes a listening socket at path, 0600 in a 0700 directory. A dead socket there is replaced, once. When a live
// one is there it returns live and no file. The lock on the bundle dir keeps two starts of one task from taking each
// other's socket, bound but not yet listening, for a dead one.
func claimSocket(dir, path string) (file *os.File, live bool, err error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, false, err
	}
	defer lock.Close() //nolint:errcheck // opened for reading
	file, err = listen(path)
	if !errors.Is(err, unix.EADDRINUSE) {
		return file, false, err
	}
	live, err = probe(path)
	if err != nil || live {
		return nil, live, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, false, fmt.Errorf("remove dead socket: %w", err)
	}
	file, err = listen(path)
	return file, false, err
}

// lockDir locks the directory dir against other starts until the file it returns is closed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock bundle: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock bundle: %w", err)
	}
	return f, nil
}

// listen makes a listening socket at path and the directory around it. The caller closes the file and unlinks the path.
func listen(path string) (*os.File, error) {
	if err := makeSocketDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	umask := unix.Umask(socketUmask)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(umask)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind socket %s: %w", path, err)
	}
	if err := unix.Listen(fd, socketBacklog); err != nil {
		_ = unix.Close(fd)
		_ = os.Remove(path)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// makeSocketDir makes dir 0700, whatever the umask; one that exists is left as it is.
func makeSocketDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make socket directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("make socket directory: %w", err)
	}
	return nil
}

// probe tells whether somebody listens on the socket at path.
func probe(path string) (live bool, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("make socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	tv := unix.NsecToTimeval(probeTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err != nil {
		return false, fmt.Errorf("set timeout: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	switch {
	case err == nil, errors.Is(err, unix.EAGAIN): // EAGAIN: the backlog is full, so there is a listener
		return true, nil
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return false, nil
	default:
		return false, fmt.Errorf("probe socket %s: %w", path, err)
	}
}
