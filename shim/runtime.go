package shim

import (
	"path/filepath"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
)

// defaultRoot is where containerd's shim keeps the runtime's state, a directory per namespace. A drop-in must find the same.
const defaultRoot = "/run/containerd/runc"

// newRuntime is the driver for a bundle's container, from the options that its Create came with.
func newRuntime(dir bundle.Dir, namespace string, opts bundle.Options, r *reaper.Reaper) *runc.Runtime {
	return &runc.Runtime{
		Binary:        opts.BinaryName,
		Root:          runtimeRoot(namespace, opts),
		Log:           filepath.Join(string(dir), bundle.RuntimeLogFile),
		SystemdCgroup: opts.SystemdCgroup,
		Spawn:         r.Start,
	}
}

func runtimeRoot(namespace string, opts bundle.Options) string {
	root := opts.Root
	if root == "" {
		root = defaultRoot
	}
	return filepath.Join(root, namespace)
}
