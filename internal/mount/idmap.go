package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// remap replaces what has just been mounted on target by a copy that shows the mapped owners: only a mount that
// is attached nowhere can be mapped. On failure neither is mounted.
func (m Mounter) remap(rootfs, target string, o *options) error {
	tree, err := m.mappedCopy(rootfs, target, o)
	if err = errors.Join(err, undo(rootfs, target)); err != nil {
		if tree != nil {
			tree.Close() //nolint:errcheck // O_PATH
		}
		return err
	}
	return moveTo(tree, rootfs, target)
}

// mappedCopy makes a mapped copy, attached nowhere, of what is mounted on target.
func (m Mounter) mappedCopy(rootfs, target string, o *options) (*os.File, error) {
	ns, err := m.userNamespace(o.uids, o.gids)
	if err != nil {
		return nil, err
	}
	defer ns.Close() //nolint:errcheck // nothing was written
	place, err := open(rootfs, target)
	if err != nil {
		return nil, err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	return mapped(place, ns, o.flags&unix.MS_REC != 0, 0)
}

// mapped makes a detached copy of the mount at f with the ids of a user namespace, and with this propagation
// unless it is 0. The caller closes it.
func mapped(f, ns *os.File, recursive bool, propagation uint64) (*os.File, error) {
	tree, err := clone(f, recursive)
	if err != nil {
		return nil, err
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	err = unix.MountSetattr(int(tree.Fd()), "", flags, &unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_IDMAP,
		Propagation: propagation,
		Userns_fd:   uint64(ns.Fd()),
	})
	if err != nil {
		tree.Close() //nolint:errcheck // O_PATH
		return nil, fmt.Errorf("map ids of %s: %w", f.Name(), err)
	}
	return tree, nil
}

// moveTo attaches tree, which it takes ownership of, to target.
func moveTo(tree *os.File, rootfs, target string) error {
	defer tree.Close() //nolint:errcheck // O_PATH
	place, err := open(rootfs, target)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	return move(tree, place)
}

// mappedOverlay mounts an overlay over lower layers that show mapped owners. The upper directory holds the
// mapped owners already, for it is written through the mount.
//
// The kernel takes only attached mounts for layers (before 6.15), so the mapped layers sit on target until
// the overlay is there. They are stacked, and are of use through their descriptors alone. Then a detached
// copy of the overlay takes their place. If this process dies in the middle, all of it is where UnmountAll looks.
func (m Mounter) mappedOverlay(rootfs string, mnt *Mount, o *options) (err error) {
	ns, err := m.userNamespace(o.uids, o.gids)
	if err != nil {
		return err
	}
	defer ns.Close() //nolint:errcheck // nothing was written
	s := &stack{rootfs: rootfs, target: mnt.Target}
	tree, err := s.overlay(mnt.Source, o, ns)
	if err = errors.Join(err, s.clear()); err != nil {
		if tree != nil {
			tree.Close() //nolint:errcheck // O_PATH
		}
		return err
	}
	return moveTo(tree, rootfs, mnt.Target)
}

// A stack is what sits on one place for the time being.
type stack struct {
	rootfs, target string
	depth          int
	files          []*os.File
}

// overlay mounts the layers and the overlay, and returns a detached copy of that.
func (s *stack) overlay(source string, o *options, ns *os.File) (*os.File, error) {
	layers, rest := split(o.rest)
	for i := range layers {
		if err := s.push(&layers[i], ns); err != nil {
			return nil, fmt.Errorf("lower layer %s: %w", layers[i].path, err)
		}
	}
	place, err := open(s.rootfs, s.target)
	if err != nil {
		return nil, err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	if err := mountLayers(source, o.flags, layers, rest, place); err != nil {
		return nil, err
	}
	s.depth++
	top, err := open(s.rootfs, s.target)
	if err != nil {
		return nil, err
	}
	defer top.Close() //nolint:errcheck // O_PATH
	return clone(top, false)
}

// push mounts a mapped copy of a layer on top of the stack and names the layer by the copy.
func (s *stack) push(l *layer, ns *os.File) error {
	dir, err := os.OpenFile(l.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // O_PATH
	tree, err := mapped(dir, ns, false, unix.MS_PRIVATE)
	if err != nil {
		return err
	}
	s.files = append(s.files, tree)
	l.path = procPath(tree)
	place, err := open(s.rootfs, s.target)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // O_PATH
	if err := move(tree, place); err != nil {
		return err
	}
	s.depth++
	return nil
}

// clear takes the stack away.
func (s *stack) clear() error {
	closeAll(s.files)
	var err error
	for ; s.depth > 0 && err == nil; s.depth-- {
		err = undo(s.rootfs, s.target)
	}
	return err
}
