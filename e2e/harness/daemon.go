package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	readyTimeout = 30 * time.Second      // a daemon's start, on a machine that is busy with other tests
	testTimeout  = 90 * time.Second      // one test case; far above what any needs
	pollInterval = 20 * time.Millisecond // between two looks at something that has no event
	redialEvery  = 5 * time.Millisecond  // between a client's attempts to reach a daemon that is down
)

// A Daemon is a running containerd with directories, sockets and a namespace of its own.
type Daemon struct {
	Release
	Namespace string
	Address   string // of its gRPC socket
	Client    *client.Client

	dir string
	cmd *exec.Cmd // nil while it is down
}

// Start starts a daemon, imports the test image and registers the daemon's end with t.
func Start(t testing.TB, r Release) *Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "wisp-e2e-") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Release: r, Namespace: filepath.Base(dir), Address: filepath.Join(dir, "c.sock"), dir: dir}
	t.Cleanup(func() { d.remove(t) })
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.runc, filepath.Join(dir, "bin", "runc")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(r.config), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Boot(t)
	d.importImage(t)
	return d
}

// Boot starts a daemon that is down, over the state that it left behind, and waits until it answers.
func (d *Daemon) Boot(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(d.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.Containerd, "--config", filepath.Join(d.dir, "config.toml"), "--address", d.Address,
		"--root", filepath.Join(d.dir, "root"), "--state", filepath.Join(d.dir, "state"), "--log-level", "debug")
	d.cmd.Env = append(os.Environ(), "PATH="+d.path())
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.cmd = nil
		t.Fatalf("start %s: %v", d.Containerd, err)
	}
	d.connect(t)
}

// connect waits until the daemon serves, and makes the client that lives as long as the Daemon.
func (d *Daemon) connect(t testing.TB) {
	t.Helper()
	if d.Client == nil {
		c, err := client.New(d.Address, client.WithDefaultNamespace(d.Namespace), client.WithTimeout(readyTimeout),
			client.WithDefaultRuntime(Runtime()), client.WithExtraDialOpts([]grpc.DialOption{
				grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{
					BaseDelay: redialEvery, Multiplier: 1, MaxDelay: redialEvery,
				}}),
			}), client.WithCallOpts([]grpc.CallOption{grpc.WaitForReady(true)}))
		if err != nil {
			t.Fatalf("connect to %s: %v\n%s", d.Name, err, d.logTail())
		}
		d.Client = c
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	for {
		ok, err := d.Client.IsServing(ctx)
		if ok {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not serve: %v\n%s", d.Name, err, d.logTail())
		}
		time.Sleep(pollInterval)
	}
}

// Kill ends the daemon with SIGKILL, as a crash would, and waits until it is gone.
func (d *Daemon) Kill(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill %s: %v", d.Name, err)
	}
	_ = d.cmd.Wait() // the error says that it was killed
	d.cmd = nil
}

// Context returns a context for one test case: in the daemon's namespace, and bounded.
func (d *Daemon) Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(t.Context(), d.Namespace), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// path is the daemon's PATH: our runc hides Debian's, and the directories of the shims come next.
func (d *Daemon) path() string {
	return strings.Join(append(append([]string{filepath.Join(d.dir, "bin")}, d.dirs...), "/usr/sbin", "/usr/bin", "/sbin", "/bin"), ":")
}

func (d *Daemon) logPath() string { return filepath.Join(d.dir, "log") }

// logTail returns the end of the daemon's log, which carries the shims' words too.
func (d *Daemon) logTail() string {
	const lines = 60
	b, err := os.ReadFile(d.logPath())
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "--- the last of " + d.Name + "'s log:\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
