package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wisp-shim/wisp/bundle"
)

const (
	defaultRoot = "/run/wisp"
	// maxSocketDir is how long the path of a directory may be whose sockets have names of 64 hex digits (107 - 1 - 64).
	maxSocketDir = 42
)

// place says where a container's files are.
type place struct {
	root, namespace, id string
}

// bundle is where the container's bundle is, for every verb to find.
func (l place) bundleDir() string { return filepath.Join(l.root, l.namespace, l.id) }

// Directories under the root begin with a dot, so that no namespace can have their name.
func (l place) socketDir() string  { return filepath.Join(l.root, ".s") }
func (l place) runtimeDir() string { return filepath.Join(l.root, ".runc") }

// complete makes up an id if there is none, and checks that the names can be part of a path and the sockets' paths are not too long.
func (l *place) complete() error {
	if l.id == "" {
		random := make([]byte, 6)
		_, _ = rand.Read(random) // never fails, by its contract
		l.id = "w" + hex.EncodeToString(random)
	}
	root, err := filepath.Abs(l.root)
	if err != nil {
		return fmt.Errorf("find root: %w", err)
	}
	l.root = root
	if len(l.socketDir()) > maxSocketDir {
		return fmt.Errorf("--root %s is too long a path for sockets: %d bytes at most", root, maxSocketDir-len("/.s"))
	}
	if err := checkName("id", l.id); err != nil {
		return err
	}
	return checkName("namespace", l.namespace)
}

// checkName applies containerd's rule for identifiers.
func checkName(what, name string) error {
	if err := bundle.ValidateID(name); err != nil {
		return fmt.Errorf("check %s: %w", what, err)
	}
	return nil
}

// make makes the directories under the root that all containers share. They stay: another shimctl may be about to use them.
func (l place) make() error {
	for _, dir := range []string{l.socketDir(), l.runtimeDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make state directory: %w", err)
		}
	}
	return nil
}

// eventsSocket is the path of the socket that serves the events of this container. Its name is short whatever the id, and always the same,
// so that whoever finds the container later can serve there again.
func (l place) eventsSocket() string {
	sum := sha256.Sum256([]byte(l.namespace + "/" + l.id))
	return filepath.Join(l.socketDir(), hex.EncodeToString(sum[:12])+".events")
}

// occupy makes the bundle's directory by calling fill. A namespace's directory may be removed by another shimctl at any time, so the two
// are made in a loop.
func (l place) occupy(fill func(dir string) error) error {
	for {
		if err := os.MkdirAll(filepath.Dir(l.bundleDir()), 0o700); err != nil {
			return fmt.Errorf("make namespace directory: %w", err)
		}
		err := fill(l.bundleDir())
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make bundle: id %q is in use in namespace %q (%s)", l.id, l.namespace, l.bundleDir())
		}
		parent := filepath.Dir(l.bundleDir())
		if !errors.Is(err, os.ErrNotExist) || exists(parent) {
			if err != nil {
				_ = os.Remove(parent) // fails while others are there
			}
			return err
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
