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

// starting is one start on its way.
type starting struct {
	cl     *commandLine
	dir    bundle.Dir
	env    Environment
	waiter *detach.Waiter

	in      startInput
	options bundle.Options
	spec    *bundle.Spec
	path    string // of the socket
}

// start becomes the server of the task and prints its address (spec 1.4). It prints nothing else, on standard error neither, for
// daemons read both together. The process that the daemon waits for is waiter; it ends once the answer is out. When start fails it
// leaves no socket behind, and no process, for this one ends.
//
// A shim that is there already for this very task, alive, is the answer: a daemon that asks twice is told the truth.
func start(ctx context.Context, cl *commandLine, dir bundle.Dir, env Environment, server serverFunc, waiter *detach.Waiter) error {
	if err := unix.Setpgid(0, 0); err != nil { // signals to the daemon's group spare us; no session, lest opening a terminal made it ours
		return fmt.Errorf("make process group: %w", err)
	}
	s := &starting{cl: cl, dir: dir, env: env, waiter: waiter}
	if err := s.read(); err != nil {
		return err
	}
	socket, live, err := claimSocket(string(dir), s.path)
	if err != nil {
		return err
	}
	if live {
		return s.answer()
	}
	if err := s.become(ctx, server, socket); err != nil {
		s.abandon()
		return err
	}
	return nil
}

// read gathers all that start is told, and changes nothing.
func (s *starting) read() error {
	data, err := readInput(s.env.Stdin)
	if err != nil {
		return err
	}
	if s.in, err = parseStartInput(data, s.cl.id, s.cl.namespace); err != nil {
		return err
	}
	if s.options, err = decodeOptions(s.in.options); err != nil {
		return err
	}
	if s.spec, err = s.dir.ReadSpec(); err != nil {
		return err
	}
	s.path, err = bundle.SocketPath(cmp.Or(s.in.socketDir, bundle.DefaultSocketDir), s.cl.address, s.cl.namespace, s.cl.id)
	return err
}

// become runs the server, until its end.
func (s *starting) become(ctx context.Context, server serverFunc, socket *os.File) error {
	cfg, err := s.cl.server(s.dir, s.env, socket)
	if err != nil {
		return err
	}
	cfg.Spec = s.spec
	cfg.Debug = cfg.Debug || s.in.debug
	if s.in.ttrpcAddress != "" { // what standard input says wins over the variable
		cfg.TTRPCAddress = bundle.TrimAddress(s.in.ttrpcAddress)
	}
	cfg.Ready = s.ready
	if err := linkSocketDir(s.dir, s.in.socketDir); err != nil {
		return err
	}
	if err := settle(s.env, s.options.ShimCgroup, s.waiter.Manager()); err != nil {
		return err
	}
	return server(ctx, cfg)
}

// ready answers the daemon and lets go of it.
func (s *starting) ready() error {
	if err := s.answer(); err != nil {
		return err
	}
	return s.waiter.Release()
}

// answer leaves the address where daemons look for it, and prints it.
func (s *starting) answer() error {
	address := bundle.SocketAddress(s.path)
	if err := writeAddress(s.dir, address); err != nil {
		return err
	}
	return printResult(s.env.Stdout, s.in, s.spec, address)
}

// abandon removes what would lead to a server.
func (s *starting) abandon() {
	for _, p := range []string{s.path, s.dir.File(bundle.AddressFile), s.dir.File(bundle.SocketDirLink)} {
		_ = os.Remove(p)
	}
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
