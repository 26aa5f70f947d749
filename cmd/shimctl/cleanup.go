package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

const (
	// cleanLimit bounds all of a cleaning-up. It has room for a runtime that takes its time over a busy cgroup.
	cleanLimit = 45 * time.Second
	// leaveLimit is how long a shim may take to leave after Shutdown, before it is killed. The reference allows itself 5 s.
	leaveLimit = 8 * time.Second
)

// cleanUp takes away all that the run has made, in whatever state it is, newest first. What fails does not
// keep it from the rest.
func (j *job) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanLimit)
	defer cancel()
	var failed []error
	if j.tried {
		failed = append(failed, j.endShim(ctx))
	}
	if j.streams != nil {
		j.streams.close()
	}
	if j.events != nil {
		failed = append(failed, j.events.Close())
		<-j.printer.done
	}
	if j.log != nil {
		failed = append(failed, j.log.Close())
	}
	if j.made {
		failed = append(failed, j.flags.place.remove())
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// endShim ends the task and its shim, as a manager does: Delete, Shutdown, the end of the process, delete of the binary.
func (j *job) endShim(ctx context.Context) error {
	var failed []error
	if j.shim != nil {
		if j.created {
			failed = append(failed, endTask(ctx, j.shim, j.flags.id))
		}
		failed = append(failed, leave(ctx, j.shim, j.process, j.flags.id))
	}
	if _, err := launch.Delete(ctx, j.config); err != nil && j.shim != nil {
		failed = append(failed, err) // of a shim that never came delete's error is no news
	}
	if answer, err := launch.ReadAnswer(j.config.Bundle); err == nil && answer.Path() != "" {
		_ = os.Remove(answer.Path()) // a shim that was killed leaves its socket
	}
	return errors.Join(failed...)
}

// endTask deletes a task; one that has not ended is killed first. An error that means that it, or the shim, is gone is none.
func endTask(ctx context.Context, shim *launch.Shim, id string) error {
	state, err := shim.Task.State(ctx, &protos.StateRequest{Id: id})
	if err == nil && state.GetStatus() != protos.Status_STOPPED {
		_, _ = shim.Task.Kill(ctx, &protos.KillRequest{Id: id, Signal: uint32(syscall.SIGKILL), All: true})
		waitCtx, cancel := context.WithTimeout(ctx, quickLimit)
		defer cancel()
		_, _ = shim.Task.Wait(waitCtx, &protos.WaitRequest{Id: id})
	}
	_, err = shim.Task.Delete(ctx, &protos.DeleteRequest{Id: id})
	if err == nil || gone(err) {
		return nil
	}
	return fmt.Errorf("delete task: %s", launch.Message(err))
}

// gone tells whether an error says that there is nothing left to be asked.
func gone(err error) bool {
	return launch.Code(err) == codes.NotFound || strings.HasSuffix(err.Error(), "ttrpc: closed")
}

// leave asks a shim to leave and waits until it has; one that does not is killed. It closes the connection and the process (which may be nil).
func leave(ctx context.Context, shim *launch.Shim, process *launch.Process, id string) error {
	_, err := shim.Task.Shutdown(ctx, &protos.ShutdownRequest{Id: id})
	_ = shim.Close()
	if process == nil {
		return err
	}
	defer process.Close()
	waitCtx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	if process.Wait(waitCtx) == nil {
		return nil
	}
	if err := process.Kill(); err != nil {
		return err
	}
	if err := process.Wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("the shim (pid %d) had not left %s after Shutdown: killed", process.Pid, leaveLimit)
}

// remove takes the bundle away, with what may be mounted in it, and the namespace's directory if it was the last there.
func (l place) remove() error {
	dir := l.bundleDir()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("list mounts of bundle: %w", err)
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", mounts[i].Mountpoint, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove bundle: %w", err)
	}
	_ = os.Remove(l.eventsSocket())
	_ = os.Remove(filepath.Dir(dir)) // fails while others are there
	return nil
}
