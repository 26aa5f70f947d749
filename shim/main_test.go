package shim

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// envTestShim makes the test binary be the shim program, with a server that knows little.
const envTestShim = "WISP_TEST_SHIM"

func TestMain(m *testing.M) {
	if os.Getenv(envTestShim) != "" {
		env := Environment{Stdin: os.Stdin, Stdout: Descriptor(1), Stderr: Descriptor(2), Environ: os.Environ()}
		os.Exit(run(context.Background(), os.Args, env, serveStub))
	}
	os.Exit(m.Run())
}

// stub is a server that tells its pid and leaves when asked to.
type stub struct {
	protos.V2TaskService
	cfg     serverConfig
	srv     *ttrpc.Server
	deleted bool
}

func serveStub(ctx context.Context, cfg serverConfig) error {
	srv, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	s := &stub{cfg: cfg, srv: srv}
	protos.RegisterV2TaskService(srv, s)
	if err := cfg.Ready(); err != nil {
		return err
	}
	if err := srv.Serve(ctx, cfg.Listener); !errors.Is(err, ttrpc.ErrServerClosed) {
		return err
	}
	return nil
}

// Connect also tells, in place of a version, what the server was told.
func (s *stub) Connect(context.Context, *protos.ConnectRequest) (*protos.ConnectResponse, error) {
	told := strings.Join([]string{s.cfg.Namespace, s.cfg.ID, s.cfg.Address, s.cfg.TTRPCAddress, strconv.FormatBool(s.cfg.Debug), s.cfg.Bundle, s.cfg.SocketPath}, " ")
	return &protos.ConnectResponse{ShimPid: uint32(os.Getpid()), Version: told}, nil
}

func (s *stub) Delete(context.Context, *protos.DeleteRequest) (*protos.DeleteResponse, error) {
	s.deleted = true
	return &protos.DeleteResponse{}, nil
}

// Shutdown is refused as long as there is a task.
func (s *stub) Shutdown(context.Context, *protos.ShutdownRequest) (*emptypb.Empty, error) {
	if s.deleted {
		_ = os.Remove(s.cfg.SocketPath)
		_ = s.srv.Close()
	}
	return &emptypb.Empty{}, nil
}

// task is a bundle and the command line a daemon would use for it.
type task struct {
	id, dir string
	env     []string
	extra   []*os.File // handed to start by accident
}

const testSpec = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"annotations":{"a":"b"}}`

func newTestTask(t *testing.T, spec string) *task {
	t.Helper()
	id := "wisp-shim-test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	dir := filepath.Join(t.TempDir(), id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if spec != "" {
		if err := os.WriteFile(filepath.Join(dir, bundle.ConfigFile), []byte(spec), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &task{id: id, dir: dir}
	t.Cleanup(func() {
		for _, pid := range k.servers(t) {
			kill(t, pid)
		}
		_ = os.Remove(k.socket(t, bundle.DefaultSocketDir))
	})
	return k
}

const testAddress = "/run/wisp-test/containerd.sock"

func (k *task) socket(t *testing.T, dir string) string {
	t.Helper()
	path, err := bundle.SocketPath(dir, testAddress, "ns", k.id)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shim runs the program as a daemon does.
func (k *task) shim(t *testing.T, stdin []byte, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-namespace", "ns", "-address", testAddress, "-id", k.id}, args...)...)
	cmd.Dir = k.dir
	cmd.Env = append(append(os.Environ(), envTestShim+"=1", "GOMAXPROCS=2", "GORACE=atexit_sleep_ms=0"), k.env...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.ExtraFiles = k.extra
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// servers returns the pids of processes that run for the task.
func (k *task) servers(t *testing.T) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if strings.Contains(string(cmdline), "-id\x00"+k.id+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill kills a process that this test has started and waits until it is gone or a zombie.
func kill(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	awaitEnd(t, fd)
}

func awaitEnd(t *testing.T, pidfd int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(testLimit.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("the process lives on (%v)", err)
		}
		return
	}
}

// connect asks the server at address who it is.
func connect(t *testing.T, address string) *protos.ConnectResponse {
	t.Helper()
	conn := dialShim(t, address)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	r, err := protos.NewV2TaskClient(conn).Connect(ctx, &protos.ConnectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
