// Package mount puts a container's root file system together from the mounts that the manager sends, and
// takes it apart. It knows mount(2) and the newer calls beside it, and nothing of containers, tasks or
// the wire. Package proc imports it, and shim for its `delete`.
//
// No thread gets a state of its own (working directory, namespace): option strings that are too long for
// one page are shortened with descriptors and the new mount API, not with chdir. See
// docs/decisions/0013-mounts.md.
package mount

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// errTooLong is the error for options that mount(2) would cut off, in containerd's words.
var errTooLong = errors.New("mount options is too long")

// errNoStart is the error for a mount that needs another process where the caller gave no way to start one.
var errNoStart = errors.New("no way to start a helper process")

// A Mount is one mount of a root file system, as containerd's snapshotters describe it.
type Mount struct {
	Type    string   // a file system of the kernel, "bind", or "fuse.X" and "fuse3.X" for a helper
	Source  string   // taken as it is, on the host
	Target  string   // inside the root file system; "" is its root
	Options []string // flag words, loop, uidmap= and gidmap=, and options for the file system
}

// A Mounter mounts and unmounts. The zero value does all that needs no other process, which is all but FUSE
// helpers and idmapped mounts.
type Mounter struct {
	// Start starts a helper process; its exit must reach the Child and nobody else.
	Start func(Command) (*Child, error)
}

// All mounts with a Mounter that starts no processes.
func All(rootfs string, mounts []Mount) error { return Mounter{}.All(rootfs, mounts) }

// All mounts all mounts on the directory rootfs, in order. A Target is looked up in what is mounted by then
// and does not escape from rootfs by way of symbolic links. If one fails, those before it are undone.
func (m Mounter) All(rootfs string, mounts []Mount) error {
	var done []string
	for i := range mounts {
		o, err := parse(mounts[i].Options)
		if err == nil {
			err = m.mount(rootfs, &mounts[i], o)
		}
		if err != nil {
			err = fmt.Errorf("mount %s %q on %s: %w", mounts[i].Type, mounts[i].Source, at(rootfs, mounts[i].Target), err)
			for _, target := range slices.Backward(done) {
				err = errors.Join(err, undo(rootfs, target))
			}
			return err
		}
		if o.flags&unix.MS_REMOUNT == 0 { // which adds none
			done = append(done, mounts[i].Target)
		}
	}
	return nil
}

// mount does one mount, or none of it if it fails.
func (m Mounter) mount(rootfs string, mnt *Mount, o *options) error {
	if mnt.Type == "bind" {
		o.flags |= unix.MS_BIND
	}
	if err := m.first(rootfs, mnt, o); err != nil {
		return err
	}
	err := finish(rootfs, mnt.Target, o)
	if err != nil && o.flags&unix.MS_REMOUNT == 0 {
		err = errors.Join(err, undo(rootfs, mnt.Target))
	}
	return err
}

// first makes the mount, with mapped ids if the options say so.
func (m Mounter) first(rootfs string, mnt *Mount, o *options) error {
	if mnt.Type == "overlay" && o.mapped() {
		return m.mappedOverlay(rootfs, mnt, o)
	}
	place, err := open(rootfs, mnt.Target)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	switch {
	case helper(mnt.Type) != "":
		err = m.fuse(mnt, place)
	case mnt.Type == "overlay":
		err = overlay(mnt.Source, o, place)
	case o.loop:
		err = loopMount(mnt, o, place)
	default:
		err = plainMount(mnt.Source, procPath(place), mnt.Type, o.flags, o.data())
	}
	if err == nil && o.mapped() {
		err = m.remap(rootfs, mnt.Target, o)
	}
	return err
}

// plainMount is mount(2) with a check of what the kernel would silently cut off.
func plainMount(source, target, fstype string, flags uintptr, data string) error {
	if len(data) >= os.Getpagesize() {
		return errTooLong
	}
	return unix.Mount(source, target, fstype, flags, data)
}

// finish does to a mount what mount(2) does not do in the call that makes it.
func finish(rootfs, target string, o *options) error {
	if o.flags&unix.MS_BIND != 0 && o.flags&unix.MS_REMOUNT == 0 && o.flags&bindFlags != 0 {
		if err := restrict(rootfs, target, o); err != nil {
			return err
		}
	}
	if o.propagation == 0 {
		return nil
	}
	place, err := open(rootfs, target)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	if err := unix.Mount("", procPath(place), "", o.propagation, ""); err != nil {
		return fmt.Errorf("set propagation: %w", err)
	}
	return nil
}

// restrict gives a bind mount the flags that its first call ignores, on top of those that it has from its
// source and that the options do not lift.
func restrict(rootfs, target string, o *options) error {
	place, err := open(rootfs, target)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(place.Fd()), &st); err != nil {
		return fmt.Errorf("read flags of bind mount: %w", err)
	}
	// ST_ and MS_ have the same values for all of bindFlags.
	flags := o.flags&bindFlags | uintptr(st.Flags)&bindFlags&^o.cleared
	if err := unix.Mount("", procPath(place), "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("remount with flags: %w", err)
	}
	return nil
}

// undo takes the topmost mount off target. Nobody uses it yet, and it is gone when this returns but for
// descriptors on it.
func undo(rootfs, target string) error {
	place, err := open(rootfs, target)
	if err != nil {
		return fmt.Errorf("undo mount: %w", err)
	}
	defer place.Close() //nolint:errcheck // O_PATH
	if err := unix.Unmount(procPath(place), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("undo mount on %s: %w", at(rootfs, target), err)
	}
	return nil
}

// open opens the place of a mount, whatever is mounted on top of it by now. The caller closes it.
func open(rootfs, target string) (*os.File, error) {
	root, err := os.OpenFile(rootfs, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil || strings.Trim(target, "/") == "" {
		return root, err
	}
	defer root.Close() //nolint:errcheck // O_PATH
	fd, err := unix.Openat2(int(root.Fd()), target, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: at(rootfs, target), Err: err}
	}
	return os.NewFile(uintptr(fd), target), nil
}

// procPath is a path of an open file, short and free of races: nothing can be put in its way.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// at shows a place to human beings.
func at(rootfs, target string) string {
	if target = strings.Trim(target, "/"); target == "" {
		return rootfs
	}
	return rootfs + "/" + target
}
