package shim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/detach"
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

// start becomes the server of the task and prints its address (spec 1.4). It prints nothing else, on standard error neither, for
// daemons read both together. The process that the daemon waits for is waiter; it ends once the answer is out. When start fails it
// leaves no socket behind, and no process, for this one ends.
//
// A shim that is there already for this very task, alive, is the answer: a daemon that asks twice is told the truth.
func start(ctx context.Context, cl *commandLine, dir bundle.Dir, env Environment, server serverFunc, waiter *detach.Waiter) error {
	if err := unix.Setpgid(0, 0); err != nil { // signals to the daemon's group spare us; no session, lest opening a terminal made it ours
		return fmt.Errorf("make process group: %w", err)
	}
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
	path, err := bundle.SocketPath(cmp.Or(in.socketDir, bundle.DefaultSocketDir), cl.address, cl.namespace, cl.id)
	if err != nil {
		return err
	}
	socket, live, err := claimSocket(string(dir), path)
	if err != nil {
		return err
	}
	reply := func() error { return answer(env.Stdout, in, dir, bundle.SocketAddress(path)) }
	if live {
		return reply()
	}
	ready := func() error {
		if err := reply(); err != nil {
			return err
		}
		return waiter.Release()
	}
	err = linkSocketDir(dir, in.socketDir)
	if err == nil {
		err = settle(env, options.ShimCgroup, waiter.Manager())
	}
	if err == nil {
		err = cl.become(ctx, server, in, dir, env, socket, ready)
	}
	if err != nil {
		abandon(dir, path)
	}
	return err
}

// become runs the server, until its end.
func (cl *commandLine) become(ctx context.Context, server serverFunc, in startInput, dir bundle.Dir, env Environment, socket *os.File, ready func() error) error {
	cfg, err := cl.server(dir, env, socket)
	if err != nil {
		return err
	}
	cfg.Debug = cfg.Debug || in.debug
	if in.ttrpcAddress != "" { // what standard input says wins over the variable
		cfg.TTRPCAddress = bundle.TrimAddress(in.ttrpcAddress)
	}
	cfg.Ready = ready
	return server(ctx, cfg)
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

// linkSocketDir links a socket directory that the daemon has named into the bundle, for delete to find it.
func linkSocketDir(dir bundle.Dir, socketDir string) error {
	if socketDir == "" {
		return nil
	}
	link := dir.File(bundle.SocketDirLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("link socket directory: %w", err)
	}
	if err := os.Symlink(socketDir, link); err != nil {
		return fmt.Errorf("link socket directory: %w", err)
	}
	return nil
}

// writeAddress writes the file by which daemons before 2.0 find the shim again.
func writeAddress(dir bundle.Dir, address string) error {
	return bundle.WriteFile(dir.File(bundle.AddressFile), []byte(address), addressMode)
}

// abandon removes what would lead to a server.
func abandon(dir bundle.Dir, path string) {
	for _, p := range []string{path, dir.File(bundle.AddressFile), dir.File(bundle.SocketDirLink)} {
		_ = os.Remove(p)
	}
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
