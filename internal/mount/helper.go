package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helperMax bounds how long a FUSE helper may take to mount or to unmount. It is generous: a remote
	// file system may be slow, but a helper that hangs must not keep a task in `creating` for ever.
	helperMax = 60 * time.Second
	// defaultPath is searched for helpers when PATH is empty.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// A Command is a helper process to start.
type Command struct {
	Path  string
	Args  []string   // with argv[0]
	Env   []string   // the whole environment
	Files []*os.File // become descriptors 0 to n; nil is /dev/null; borrowed until the process has been started

	// Cloneflags and the maps are for a process that makes a user namespace, and zero for others. They are
	// what SysProcAttr of package syscall wants.
	Cloneflags  uintptr
	UidMappings []syscall.SysProcIDMap
	GidMappings []syscall.SysProcIDMap
}

// A Child is a helper process that runs.
type Child struct {
	Pid    int
	Done   <-chan struct{} // closed when it has ended
	Status func() int      // after Done: its exit status, or 128 and its signal
	Kill   func()          // sends SIGKILL
}

// run starts a helper and waits for its end.
func (m Mounter) run(args ...string) error {
	if m.Start == nil {
		return fmt.Errorf("run %s: %w", args[0], errNoStart)
	}
	path, err := lookPath(args[0])
	if err != nil {
		return err
	}
	child, err := m.Start(Command{Path: path, Args: args, Env: os.Environ()})
	if err != nil {
		return err
	}
	timer := time.AfterFunc(helperMax, child.Kill)
	<-child.Done
	if inTime := timer.Stop(); !inTime {
		return fmt.Errorf("run %s: killed after %v", path, helperMax)
	}
	if status := child.Status(); status != 0 {
		return fmt.Errorf("run %s: exit status %d", strings.Join(args, " "), status)
	}
	return nil
}

func lookPath(name string) (string, error) {
	path := os.Getenv("PATH")
	if path == "" {
		path = defaultPath
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, name)
		if filepath.IsAbs(candidate) && unix.Access(candidate, unix.X_OK) == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("find %s in PATH: %w", name, os.ErrNotExist)
}

// helper returns the program that mounts a type, or "" if the kernel does.
func helper(fstype string) string {
	switch {
	case strings.HasPrefix(fstype, "fuse3."):
		return "mount.fuse3"
	case strings.HasPrefix(fstype, "fuse."):
		return "mount.fuse"
	}
	return ""
}

// fuse mounts by a helper. It is a process of its own and needs the place by its name.
func (m Mounter) fuse(mnt *Mount, place *os.File) error {
	target, err := os.Readlink(procPath(place))
	if err != nil {
		return fmt.Errorf("name place: %w", err)
	}
	args := []string{helper(mnt.Type), mnt.Source, target}
	for _, option := range mnt.Options {
		if !taken(option) {
			args = append(args, "-o", option)
		}
	}
	_, subtype, _ := strings.Cut(mnt.Type, ".")
	return m.run(append(args, "-t", subtype)...)
}

// taken tells whether an option is one that this package deals with itself, whatever the file system.
func taken(option string) bool {
	key, _, _ := strings.Cut(option, "=")
	_, isPropagation := propagationWord(option)
	return isPropagation || key == "uidmap" || key == "gidmap"
}

// unmountFuse asks the helpers to unmount, for they work where a file system's own process must be told. An
// error is no harm: the kernel's unmount follows.
func (m Mounter) unmountFuse(target string) error {
	err := m.run("fusermount3", "-u", target)
	if err != nil {
		err = m.run("fusermount", "-u", target)
	}
	return err
}
