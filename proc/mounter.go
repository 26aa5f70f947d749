package proc

import (
	"github.com/wisp-shim/wisp/internal/mount"
	"github.com/wisp-shim/wisp/reaper"
)

// Mounter mounts with helper processes, FUSE's and those that make a user namespace, that r reaps.
func Mounter(r *reaper.Reaper) mount.Mounter {
	return mount.Mounter{Start: func(c mount.Command) (*mount.Child, error) {
		child, err := r.Start(reaper.Command{
			Path: c.Path, Args: c.Args, Env: c.Env, Files: c.Files,
			Cloneflags: c.Cloneflags, UidMappings: c.UidMappings, GidMappings: c.GidMappings,
		})
		if err != nil {
			return nil, err
		}
		return &mount.Child{
			Pid: child.Pid(), Done: child.Done(),
			Status: func() int { return child.Exit().Status },
			Kill:   func() { _ = child.Signal(killSignal) }, // gone is fine
		}, nil
	}}
}
