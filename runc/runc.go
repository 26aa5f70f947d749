// Package runc drives an OCI runtime with runc's command line: options become
// argv in pure functions, each verb has a time budget, and what the runtime
// has logged or printed becomes a typed [Error]. [Runtime] and [Error] are the two
// names to begin with.
//
// It must not know states, events or the wire, and reaps nothing: the runtime is
// started through the reaper. proc uses it, and the shim's delete and -info.
//
// A call waits for the runtime's own exit alone, never for a descriptor that a
// container may hold open. It has no goroutine and no pipe: what the runtime
// prints goes to a file in memory that is read after the exit, if at all.
package runc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wisp-shim/wisp/reaper"
)

// defaultBinary is what an empty Binary means.
const defaultBinary = "runc"

// Runtime is an OCI runtime and how it is called. It is not changed after its
// first use; then its methods may be called at once from many goroutines.
type Runtime struct {
	Binary        string // a name in PATH or a path; empty means runc
	Root          string // where the runtime keeps its state (--root); empty is its own default
	Log           string // where it logs (--log); empty: its errors are read from what it prints
	SystemdCgroup bool
	Dir           string        // its working directory; empty is this process's
	Env           []string      // its environment, without NOTIFY_SOCKET; nil is this process's
	Budget        time.Duration // if above 0, every verb's instead of its own

	// Spawn starts a command: (*reaper.Reaper).Start.
	Spawn func(reaper.Command) (*reaper.Process, error)
}

// call is one run of the runtime.
type call struct {
	verb    verb
	argv    []string    // what follows the global flags
	log     string      // instead of Runtime.Log
	pidFile string      // what a killed runtime may leave half-written
	files   [3]*os.File // borrowed; nil is /dev/null, or a memory file where the next two say so
	capture bool        // stdout and stderr are read when the call fails
	result  bool        // stdout is the verb's result, and stderr read when it fails
}

// name is the binary as errors and argv[0] have it.
func (r *Runtime) name() string {
	if r.Binary == "" {
		return defaultBinary
	}
	return r.Binary
}

// run runs the runtime and returns what it printed, if c wants that. Errors are
// an *Error, except for those of this process's own making.
func (r *Runtime) run(ctx context.Context, c call) ([]byte, error) {
	if c.log == "" {
		c.log = r.Log
	}
	e := &Error{Verb: c.verb.name, Binary: r.name(), prefix: c.verb.prefix}
	if err := ctx.Err(); err != nil {
		e.Kind, e.detail = err, fmt.Sprintf("%s %s was not run: %v", e.Binary, e.Verb, err)
		return nil, e
	}
	env := r.env()
	path, err := lookPath(r.name(), env)
	if err != nil {
		e.Kind, e.detail = ErrNoBinary, err.Error()
		return nil, e
	}
	out, err := openOutput(&c)
	if err != nil {
		return nil, fmt.Errorf("run %s %s: %w", e.Binary, e.Verb, err)
	}
	defer out.close()
	logged := fileSize(c.log)
	began := time.Now()
	p, err := r.Spawn(r.command(&c, path, env))
	if err != nil {
		e.Kind, e.detail = startKind(err), fmt.Sprintf("exec: %q: %v", e.Binary, err)
		return nil, e
	}
	cause := r.await(ctx, c.verb, p)
	if cause == nil && p.Exit().Status == 0 {
		return out.result()
	}
	e.Elapsed, e.Exit = time.Since(began), p.Exit()
	if cause != nil || e.Exit.Signal != 0 {
		removePidFile(c.pidFile)
	}
	e.explain(cause, readLog(c.log, logged), out.text())
	return nil, e
}

// command is what the reaper is to start. The runtime leads a process group of its
// own: a signal from the terminal spares it, and kill can reach its children.
func (r *Runtime) command(c *call, path string, env []string) reaper.Command {
	cmd := reaper.Command{
		Path: path, Args: r.args(c), Env: env, Dir: r.Dir, Files: c.files[:], Setpgid: true,
	}
	if c.verb.diesWithUs {
		cmd.Pdeathsig = syscall.SIGKILL
	}
	return cmd
}

// removePidFile removes a pid file, and the temporary file that runc makes of its
// name: were it left by a runc that was killed, each later call with that pid file
// would fail with "file exists".
func removePidFile(path string) {
	if path == "" {
		return
	}
	_ = os.Remove(path) // it is seldom there, and this call has failed already
	_ = os.Remove(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)))
}
