package mount

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// logMax is the longest message of a file system context that is read, in bytes.
const logMax = 4096

// fsopen opens a context to make a file system in. The caller closes it.
func fsopen(fstype string) (int, error) {
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	return fd, nil
}

// superWords are the options by which fsconfig(2) knows those flags that belong to a file system.
func superWords(flags uintptr) []string {
	var words []string
	for _, w := range [...]struct {
		flag uintptr
		word string
	}{
		{unix.MS_RDONLY, "ro"},
		{unix.MS_SYNCHRONOUS, "sync"},
		{unix.MS_DIRSYNC, "dirsync"},
		{unix.MS_MANDLOCK, "mand"},
		{unix.MS_LAZYTIME, "lazytime"},
	} {
		if flags&w.flag != 0 {
			words = append(words, w.word)
		}
	}
	return words
}

// mountAttributes are those flags that belong to a mount, as fsmount(2) takes them.
func mountAttributes(flags uintptr) int {
	attributes := 0
	for _, a := range [...]struct {
		flag      uintptr
		attribute int
	}{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV},
		{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
	} {
		if flags&a.flag != 0 {
			attributes |= a.attribute
		}
	}
	switch { // one of three; relatime is 0
	case flags&unix.MS_STRICTATIME != 0:
		attributes |= unix.MOUNT_ATTR_STRICTATIME
	case flags&unix.MS_NOATIME != 0:
		attributes |= unix.MOUNT_ATTR_NOATIME
	}
	return attributes
}

// attachNew makes a mount of the file system in context fs and puts it on place.
func attachNew(fs int, flags uintptr, place *os.File) error {
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, mountAttributes(flags))
	if err != nil {
		return withLog(fs, os.NewSyscallError("fsmount", err))
	}
	tree := os.NewFile(uintptr(fd), "mount")
	defer tree.Close() //nolint:errcheck // O_PATH
	return move(tree, place)
}

// move attaches a detached mount to place.
func move(tree, place *os.File) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return os.NewSyscallError("move_mount", unix.MoveMount(int(tree.Fd()), "", int(place.Fd()), "", flags))
}

// clone makes a detached copy of the mount, or of a part of it, that f is open on; with all that is mounted
// beneath if recursive. The caller closes it, and with it goes a copy that was not moved to a place.
func clone(f *os.File, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.O_CLOEXEC | unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(int(f.Fd()), "", flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// withLog adds to err what the kernel wrote into the log of a file system context.
func withLog(fs int, err error) error {
	buf := make([]byte, logMax)
	var lines []string
	for {
		n, readErr := unix.Read(fs, buf)
		if readErr != nil || n == 0 { // ENODATA: no more
			break
		}
		// "e text": the letter is the level, for error, warning or information.
		_, text, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		lines = append(lines, text)
	}
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(lines, "; "))
}
