package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/bell"
	"github.com/wisp-shim/wisp/internal/mount"
	"github.com/wisp-shim/wisp/protos"
	"github.com/wisp-shim/wisp/reaper"
)

// Daemons kill delete after 5 s. What it does has budgets that leave it time to answer.
const (
	runtimeDeleteTimeout = 2500 * time.Millisecond // runc delete --force; it sleeps in steps of 100 ms until init is dead
	killTimeout          = 500 * time.Millisecond  // the cgroup's processes, when the runtime has left some
	unmountTimeout       = time.Second
	farewellTimeout      = 500 * time.Millisecond // a shim that is still there is asked to leave
)

// statusKilled is the exit status of a container of which nothing is known: 128 + SIGKILL.
const statusKilled = 137

// remove is the action delete (spec 1.8): it makes sure that nothing of the task is left, whatever has become of its shim, and
// prints how the container ended. Daemons run it after every deletion, so what the shim has done already is found out cheaply: in
// that case no runtime is forked and no mount is looked for.
//
// No failure on the way ends it, for what comes after would be left undone; each is a line on standard error, which daemons log
// as a warning.
func remove(ctx context.Context, cl *commandLine, cwd bundle.Dir, env Environment) error {
	dir := bundle.Dir(filepath.Join(filepath.Dir(string(cwd)), cl.id))
	warn := func(err error) {
		if err != nil {
			fmt.Fprintf(env.Stderr, "%s: delete %s: %s\n", RuntimeName, cl.id, err)
		}
	}
	warn(removeContainer(ctx, cl, dir))
	warn(removeUnrecorded(ctx, dir))
	warn(dismissShim(ctx, cl, dir))
	warn(unmountRootfs(ctx, dir))
	warn(dir.DropExit())
	data, err := proto.Marshal(lastExit(dir))
	if err != nil {
		return fmt.Errorf("marshal response: %w", err)
	}
	if _, err := env.Stdout.Write(data); err != nil {
		return fmt.Errorf("print response: %w", err)
	}
	return nil
}

// lastExit is how the container ended: what its shim has recorded, else that it was killed now.
func lastExit(dir bundle.Dir) *protos.DeleteResponse {
	if exit, err := dir.ReadExit(); err == nil {
		return &protos.DeleteResponse{
			Pid:        uint32(exit.Pid),
			ExitStatus: uint32(exit.Status),
			ExitedAt:   timestamppb.New(exit.ExitedAt),
		}
	}
	pid, err := bundle.ReadPid(dir.File(bundle.InitPidFile))
	if err != nil {
		pid = 0
	}
	return &protos.DeleteResponse{Pid: uint32(pid), ExitStatus: statusKilled, ExitedAt: timestamppb.Now()}
}

// removeContainer has the runtime kill and delete the container, unless it has no state of it: then there is none, for a
// runtime removes its state last.
func removeContainer(ctx context.Context, cl *commandLine, dir bundle.Dir) error {
	options, err := dir.ReadOptions()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if name, err := dir.ReadRuntime(); err == nil && name != "" {
		options.BinaryName = name
	}
	state := filepath.Join(runtimeRoot(cl.namespace, options), cl.id)
	if _, err := os.Stat(state); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	paths := cgroupPaths(state) // the runtime removes what names them
	if err := deleteByRuntime(ctx, cl, dir, options); err != nil {
		ctx, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		return errors.Join(err, killLeft(ctx, paths))
	}
	return nil
}

// deleteByRuntime runs `runc delete --force`.
func deleteByRuntime(ctx context.Context, cl *commandLine, dir bundle.Dir, options bundle.Options) error {
	ctx, cancel := context.WithTimeout(ctx, runtimeDeleteTimeout)
	defer cancel()
	swallowed, err := bell.Open(unix.SIGTERM, unix.SIGINT) // ignored they would stay so in the runtime
	if err != nil {
		return err
	}
	defer swallowed.Close() // ignored again
	return withReaper(func(r *reaper.Reaper) error {
		options.SystemdCgroup = false // the state says it
		return newRuntime(dir, cl.namespace, options, r).Delete(ctx, cl.id, true)
	})
}

// withReaper calls f with a running reaper and ends it afterwards.
func withReaper(f func(*reaper.Reaper) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	r := reaper.New()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	err := f(r)
	cancel()
	if runErr := <-done; runErr != nil && !errors.Is(runErr, context.Canceled) {
		err = errors.Join(err, runErr)
	}
	return err
}

// unmountRootfs unmounts what the shim has mounted on rootfs. An empty directory that is no mount point has nothing on or in it.
func unmountRootfs(ctx context.Context, dir bundle.Dir) error {
	rootfs := dir.File(bundle.RootfsDir)
	if !mayHoldMounts(rootfs) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, unmountTimeout)
	defer cancel()
	return mount.UnmountAll(ctx, rootfs)
}
