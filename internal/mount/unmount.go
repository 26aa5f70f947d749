package mount

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// busyStart and busyMax bound the pause before a busy mount is tried again; it doubles from one to the
	// other. The kernel tells nobody when a mount is no longer busy.
	busyStart = 2 * time.Millisecond
	busyMax   = 100 * time.Millisecond
)

// UnmountAll unmounts with a Mounter that starts no processes.
func UnmountAll(ctx context.Context, dir string) error { return Mounter{}.UnmountAll(ctx, dir) }

// UnmountAll takes away all that is mounted at and under dir: the deepest first, and what is on top first
// where mounts are stacked. What is busy is tried again until ctx ends; then the error names the mount. One
// umount(2) may take long, when data must be written back, and is not cut short by ctx: what bounds a
// request should not wait for it. A dir that does not exist has no mounts.
func (m Mounter) UnmountAll(ctx context.Context, dir string) error {
	resolved, err := resolve(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("unmount all: %w", err)
	}
	pause := busyStart
	for {
		list, err := mountsUnder(resolved)
		if err != nil || len(list) == 0 {
			return err
		}
		done, err := m.pass(list)
		switch {
		case err == nil:
			// Look again: others may have mounted meanwhile.
		case done > 0:
			pause = busyStart // what failed may have been hidden by what is gone now
		case !errors.Is(err, unix.EBUSY):
			return err
		case !sleep(ctx, pause):
			return errors.Join(err, ctx.Err())
		default:
			pause = min(2*pause, busyMax)
		}
	}
}

// pass tries each mount once, and returns how many are gone and the first error.
func (m Mounter) pass(list []entry) (done int, first error) {
	slices.Reverse(list) // later ones lie on top
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Compare(strings.Count(b.path, "/"), strings.Count(a.path, "/"))
	})
	for _, e := range list {
		err := m.unmount(e)
		switch {
		case err == nil:
			done++
		case first == nil:
			first = fmt.Errorf("unmount %s (%s): %w", e.path, e.fstype, err)
		}
	}
	return done, first
}

func (m Mounter) unmount(e entry) error {
	if m.Start != nil && (e.fstype == "fuse" || helper(e.fstype) != "") {
		if m.unmountFuse(e.path) == nil {
			return nil
		}
	}
	return unix.Unmount(e.path, unix.UMOUNT_NOFOLLOW)
}

// resolve returns the name under which the kernel lists what is mounted on dir.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	// What is mounted there may not answer any more, as FUSE without its process. It can be unmounted still.
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	return filepath.Join(parent, filepath.Base(abs)), err
}

// sleep reports whether the pause was over before ctx.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
