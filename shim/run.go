// Package shim is the outermost layer of the shim program: the wire and the life of the process.
//
// It owns the command line (start, delete, -info, -v and the server), the bootstrap protocols of every daemon since containerd
// 1.6, sockets, the log, the publisher of events, and the ttrpc service that turns requests into calls of package proc. It
// must not know how a container is run: that is proc's and runc's. cmd/shim is its only importer.
//
// Read Run first; then start for how a shim comes to be, serve for how it lives, and remove for how its remains are cleared.
package shim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/detach"
	"github.com/wisp-shim/wisp/internal/mount"
)

// RuntimeName is the name under which containerd finds this shim, and the prefix of its errors.
const RuntimeName = "io.containerd.wisp.v2"

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1 // the error is on standard error
	exitUsage   = 2 // the command line is wrong
)

// Environment is what the program gets from the system, so that a test can give it something else.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // "key=value", as os.Environ gives it
}

// Descriptor is a file descriptor to write to. Unlike an os.File it does not end the program (SIGPIPE) when it is standard output and
// nobody reads there any more: a start whose daemon has gone has things to undo.
type Descriptor int

func (d Descriptor) Write(p []byte) (int, error) {
	if err := bundle.WriteAll(int(d), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// get returns the value of a variable, "" when it is not set.
func (e Environment) get(key string) string {
	for _, kv := range e.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// serverConfig is what a server is told by its command line and its environment.
type serverConfig struct {
	Namespace    string
	ID           string // the id the shim was started for
	Address      string // the daemon's grpc socket
	TTRPCAddress string // where events go: a plain path, "" for nowhere
	Debug        bool
	Bundle       string       // the working directory
	Spec         *bundle.Spec // of the bundle; nil if it has not been read
	Procs        int          // GOMAXPROCS, 0 to leave it
	SocketPath   string       // where Listener is bound; the server unlinks it when it leaves
	Listener     net.Listener
	Ready        func() error // called once, when nothing is left to fail; it answers whoever waits for the server
}

// serverFunc runs a server until it is shut down. It takes ownership of the listener. An error before Ready is start's.
type serverFunc func(context.Context, serverConfig) error

// Run executes the command line args, whose first element is the program's name, and returns the exit code.
func Run(ctx context.Context, args []string, env Environment) int {
	return run(ctx, args, env, serve)
}

func run(ctx context.Context, args []string, env Environment, server serverFunc) int {
	if len(args) == 2 && args[1] == mount.HoldArg {
		mount.Hold(env.Stdin)
		return exitOK
	}
	waiter, args := detach.Find(args)
	cl, err := parseFlags(args, env.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage
	}
	if cl.action == detach.Action && waiter == nil && !cl.version && !cl.info {
		code, err := launch(args, env)
		return exitCode(code, err, env)
	}
	return exitCode(exitOK, cl.execute(ctx, env, server, waiter), env)
}

// exitCode tells an error, and returns the code that goes with it.
func exitCode(code int, err error, env Environment) int {
	if err == nil {
		return code
	}
	fmt.Fprintf(env.Stderr, "%s: %s", RuntimeName, err)
	return exitFailure
}

// launch makes this process the waiter of one that does what start has to do.
func launch(args []string, env Environment) (int, error) {
	ignoreSignals()
	return detach.Launch(args, env.Environ)
}

// commandLine is the parsed command line (spec 1.2).
type commandLine struct {
	program   string // argv[0]
	action    string // start, delete, or "" for the server
	namespace string
	id        string
	address   string
	socket    string
	debug     bool
	version   bool
	info      bool
}

// parseFlags parses args in Go's flag syntax. The action may stand before, between or after the flags. What is wrong has been
// written to stderr when it returns an error.
func parseFlags(args []string, stderr io.Writer) (*commandLine, error) {
	if len(args) == 0 {
		args = []string{"containerd-shim-wisp-v2"}
	}
	cl := &commandLine{program: args[0]}
	fs := flag.NewFlagSet(filepath.Base(args[0]), flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cl.namespace, "namespace", "", "namespace of the container")
	fs.StringVar(&cl.id, "id", "", "id of the task")
	fs.StringVar(&cl.address, "address", "", "containerd's grpc socket")
	fs.StringVar(&cl.socket, "socket", "", "path to serve on, without start")
	fs.BoolVar(&cl.debug, "debug", false, "log debug messages")
	fs.BoolVar(&cl.version, "v", false, "print the version and exit")
	fs.BoolVar(&cl.version, "version", false, "print the version and exit")
	fs.BoolVar(&cl.info, "info", false, "print a protobuf RuntimeInfo and exit; standard input holds options")
	fs.String("publish-binary", "", "ignored: events go over ttrpc")
	fs.String("bundle", "", "ignored: the bundle is the working directory")
	fs.String("debug-socket", "", "ignored: SIGUSR1 writes a dump into the bundle")
	for rest := args[1:]; ; {
		if err := fs.Parse(rest); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return cl, nil
		}
		if cl.action != "" || fs.Arg(0) == "" {
			return nil, usage(fs, "unexpected argument %q", fs.Arg(0))
		}
		cl.action = fs.Arg(0)
		if cl.action != "start" && cl.action != "delete" {
			return nil, usage(fs, "unknown action %q: want start, delete or none", cl.action)
		}
		rest = fs.Args()[1:]
	}
}

// usage reports a mistake in the way package flag does.
func usage(fs *flag.FlagSet, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	fmt.Fprintln(fs.Output(), err)
	fs.Usage()
	return err
}

// execute does what the command line asks for.
func (cl *commandLine) execute(ctx context.Context, env Environment, server serverFunc, waiter *detach.Waiter) error {
	switch {
	case cl.version:
		return printVersion(env.Stdout, cl.program)
	case cl.info:
		return printInfo(ctx, env)
	}
	if err := cl.check(); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find bundle: %w", err)
	}
	switch cl.action {
	case "start":
		ignoreSignals()
		return start(ctx, cl, bundle.Dir(dir), env, server, waiter)
	case "delete":
		ignoreSignals()
		return remove(ctx, cl, bundle.Dir(dir), env)
	default:
		return cl.serve(ctx, bundle.Dir(dir), env, server)
	}
}

// check refuses names that cannot be a container's: both end up in paths.
func (cl *commandLine) check() error {
	if cl.namespace == "" {
		return errors.New("shim namespace cannot be empty")
	}
	if err := bundle.ValidateID(cl.namespace); err != nil {
		return fmt.Errorf("check namespace: %w", err)
	}
	if err := bundle.ValidateID(cl.id); err != nil {
		return fmt.Errorf("check id: %w", err)
	}
	return nil
}

// serve runs a server at -socket, for managers that do without start.
func (cl *commandLine) serve(ctx context.Context, dir bundle.Dir, env Environment, server serverFunc) error {
	if cl.socket == "" {
		return errors.New("nothing to do: want start, delete or -socket PATH")
	}
	file, err := listen(bundle.TrimAddress(cl.socket))
	if err != nil {
		return err
	}
	cfg, err := cl.server(dir, env, file)
	if err != nil {
		return err
	}
	return server(ctx, cfg)
}

// server is the configuration of a server at a listening socket, which it takes.
func (cl *commandLine) server(dir bundle.Dir, env Environment, socket *os.File) (serverConfig, error) {
	defer socket.Close() //nolint:errcheck // FileListener has its own descriptor
	listener, err := net.FileListener(socket)
	if err != nil {
		return serverConfig{}, fmt.Errorf("listen: %w", err)
	}
	procs, _ := strconv.Atoi(env.get(envWispProcs)) // 0 for what is no number
	return serverConfig{
		Namespace:    cl.namespace,
		ID:           cl.id,
		Address:      cl.address,
		TTRPCAddress: bundle.TrimAddress(env.get(envTTRPCAddress)),
		Debug:        cl.debug,
		Bundle:       string(dir),
		Procs:        procs,
		SocketPath:   listener.Addr().String(),
		Listener:     listener,
		Ready:        func() error { return nil },
	}, nil
}

// ignoreSignals makes SIGTERM and SIGINT harmless to start and delete: a daemon that is being stopped would otherwise leave half a
// shim behind. What is ignored stays so in children: before a runtime is run, a bell must take the signals over.
func ignoreSignals() { signal.Ignore(unix.SIGTERM, unix.SIGINT) }
