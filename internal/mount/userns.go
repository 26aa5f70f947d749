package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// HoldArg is the only argument with which this program is started to hold a user namespace. Whoever gives a
// Mounter a Start calls Hold when its own program is started so.
const HoldArg = "hold-user-namespace"

// Hold does nothing until the parent closes the other end of stdin.
func Hold(stdin io.Reader) {
	_, _ = io.Copy(io.Discard, stdin) // the end is all that matters
}

// userNamespace makes a user namespace with these maps, owned by nobody: it lives as long as the file, which
// the caller closes, and what is mounted with it.
//
// A namespace needs a process to make it, and a process with several threads, as every Go program is,
// cannot make one for itself. So this program starts itself in a new one, opens that and lets the child go.
func (m Mounter) userNamespace(uids, gids []syscall.SysProcIDMap) (ns *os.File, err error) {
	if m.Start == nil {
		return nil, fmt.Errorf("make user namespace: %w", errNoStart)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	child, err := m.Start(Command{
		Path:        "/proc/self/exe",
		Args:        []string{"mount", HoldArg},
		Files:       []*os.File{r},
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: uids,
		GidMappings: gids,
	})
	r.Close() //nolint:errcheck // nothing was written
	if err != nil {
		w.Close() //nolint:errcheck // nothing was written
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", child.Pid))
	select {
	case <-child.Done: // too early: by now the pid may be somebody else's
		if err == nil {
			err = errors.Join(fmt.Errorf("its process ended with status %d", child.Status()), ns.Close())
		}
	default:
	}
	w.Close() //nolint:errcheck // nothing was written
	<-child.Done
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	return ns, nil
}
