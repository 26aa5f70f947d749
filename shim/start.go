package shim

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// What start answers to a daemon of 2.3 or later.
const (
	protocolTTRPC  = "ttrpc"
	versionTaskV3  = 3
	versionTaskV2  = 2
	addressMode    = 0o644
	annotationPod  = "io.kubernetes.cri.sandbox-id"
	annotationRunc = "io.containerd.runc.v2.group"
)

// start brings a server for the task to life and prints its address (spec 1.4). It prints nothing else, on standard error
// neither, for daemons read both together. When it fails it leaves no process and no socket behind.
//
// A shim that is there already for this very task, alive, is the answer: a daemon that asks twice is told the truth.
func start(cl *commandLine, dir bundle.Dir, env Environment) error {
	data, err := readInput(env.Stdin)
	if err != nil {
		return err
	}
	in, err := parseStartInput(data, cl.id, cl.namespace)
	if err != nil {
		return err
	}
	options, err := decodeOptions(in.options)
	if err != nil {
		return err
	}
	path, err := socketPath(cl, dir, in.socketDir)
	if err != nil {
		return err
	}
	listener, live, err := claimSocket(string(dir), path)
	if err != nil {
		return err
	}
	address := bundle.SocketAddress(path)
	if live {
		return answer(env.Stdout, in, dir, address)
	}
	pid, err := spawn(cl, in, env, listener)
	_ = listener.Close() // the server has its own
	if err == nil {
		err = settle(pid, options.ShimCgroup)
	}
	if err == nil { // the bundle is read now, while the server comes up
		err = answer(env.Stdout, in, dir, address)
	}
	if err != nil {
		abandon(pid, dir, path)
	}
	return err
}

// answer leaves the address where daemons look for it, and prints it.
func answer(w io.Writer, in startInput, dir bundle.Dir, address string) error {
	spec, err := dir.ReadSpec()
	if err != nil {
		return err
	}
	if err := writeAddress(dir, address); err != nil {
		return err
	}
	return printResult(w, in, spec, address)
}

// socketPath returns where the server listens. A socket directory that the daemon names is linked into the bundle, for delete
// to find it.
func socketPath(cl *commandLine, dir bundle.Dir, socketDir string) (string, error) {
	if socketDir == "" {
		return bundle.SocketPath(bundle.DefaultSocketDir, cl.address, cl.namespace, cl.id)
	}
	path, err := bundle.SocketPath(socketDir, cl.address, cl.namespace, cl.id)
	if err != nil {
		return "", err
	}
	link := dir.File(bundle.SocketDirLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("link socket directory: %w", err)
	}
	if err := os.Symlink(socketDir, link); err != nil {
		return "", fmt.Errorf("link socket directory: %w", err)
	}
	return path, nil
}

// writeAddress writes the file by which daemons before 2.0 find the shim again.
func writeAddress(dir bundle.Dir, address string) error {
	return bundle.WriteFile(dir.File(bundle.AddressFile), []byte(address), addressMode)
}

// abandon undoes what start has done: the server, its socket and its address.
func abandon(pid int, dir bundle.Dir, path string) {
	if pid > 0 {
		_ = unix.Kill(pid, unix.SIGKILL) // our child, not waited for yet: the pid is its own
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	_ = os.Remove(path)
	_ = os.Remove(dir.File(bundle.AddressFile))
}

// printResult answers the daemon in the protocol it spoke.
//
// In a pod the answer is version 2, for with version 3 containerd's CRI plugin would send the other members' Create to the pause
// container's shim, and each task has a shim of its own (docs/decisions/0002-one-shim-per-task.md). To older daemons the plain
// address means version 2.
func printResult(w io.Writer, in startInput, spec *bundle.Spec, address string) error {
	if !in.modern {
		if _, err := io.WriteString(w, address); err != nil {
			return fmt.Errorf("print address: %w", err)
		}
		return nil
	}
	version := int32(versionTaskV3)
	if spec.Annotations[annotationPod] != "" || spec.Annotations[annotationRunc] != "" {
		version = versionTaskV2
	}
	data, err := proto.Marshal(&protos.BootstrapResult{Version: version, Address: address, Protocol: protocolTTRPC})
	if err != nil {
		return fmt.Errorf("marshal result: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}
