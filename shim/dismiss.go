package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/ttrpc"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// dismissShim ends what is left of the task's shim: a dead one's socket is unlinked, and one that is still there, whose daemon has
// lost sight of it, is asked to delete its task and leave. Its container is dead by now.
func dismissShim(ctx context.Context, cl *commandLine, dir bundle.Dir) error {
	var errs []error
	for _, path := range socketCandidates(cl, dir) {
		errs = append(errs, dismissAt(ctx, cl, path))
	}
	return errors.Join(errs...)
}

func dismissAt(ctx context.Context, cl *commandLine, path string) error {
	live, err := probe(path)
	if err != nil {
		return err
	}
	if live {
		if err := sayFarewell(ctx, cl, path); err != nil {
			return err
		}
		if live, err = probe(path); err != nil || live { // it unlinks its socket itself when it leaves
			return err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove dead socket: %w", err)
	}
	return nil
}

// socketCandidates returns where the socket of this very task's shim may be: in the default directory, or in the one that a daemon
// named to start. What the bundle's files say counts only if it ends in the task's own name.
func socketCandidates(cl *commandLine, dir bundle.Dir) []string {
	path, err := bundle.SocketPath(bundle.DefaultSocketDir, cl.address, cl.namespace, cl.id)
	if err != nil {
		return nil
	}
	paths := []string{path}
	name := filepath.Base(path)
	if target, err := os.Readlink(dir.File(bundle.SocketDirLink)); err == nil {
		paths = append(paths, filepath.Join(target, name))
	}
	if data, err := os.ReadFile(dir.File(bundle.AddressFile)); err == nil {
		if p := bundle.TrimAddress(string(data)); filepath.IsAbs(p) && filepath.Base(p) == name {
			paths = append(paths, filepath.Clean(p))
		}
	}
	var found []string
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// sayFarewell asks the shim at path to delete the task and to shut down.
func sayFarewell(ctx context.Context, cl *commandLine, path string) error {
	ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("dismiss shim: %w", err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close() //nolint:errcheck // never fails
	task := protos.NewV2TaskClient(client)
	_, _ = task.Delete(ctx, &protos.DeleteRequest{Id: cl.id}) // it may have no such task
	// A shim that was not done with Delete in time leaves when it is: it remembers a Shutdown that came too early.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	_, err = task.Shutdown(ctx, &protos.ShutdownRequest{Id: cl.id, Now: true})
	if err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("dismiss shim: %w", err)
	}
	return nil
}
