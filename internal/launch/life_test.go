package launch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/fifo"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/internal/leak"
	"github.com/wisp-shim/wisp/protos"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// lifeLimit is far above what a life takes (0.1 s), for a busy machine.
const lifeLimit = time.Minute

// shims are the binaries that the tests drive, each with its protocol. Ours is among them once it builds.
func shims(t *testing.T) map[string]launch.Config {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(root, ".cache/bin")+":"+os.Getenv("PATH"))
	if _, err := exec.LookPath("runc"); err != nil {
		t.Fatalf("these tests need runc: %v", err)
	}
	found := map[string]launch.Config{}
	for name, c := range map[string]launch.Config{
		"reference 2.4": {Binary: filepath.Join(root, ".cache/bin/containerd-shim-runc-v2")},
		"reference 1.6": {Binary: "/usr/bin/containerd-shim-runc-v2", Legacy: true},
	} {
		if _, err := os.Stat(c.Binary); err != nil {
			t.Logf("NOT TESTED: %s: %v", name, err)
			continue
		}
		found[name] = c
	}
	wisp := os.Getenv("WISP_SHIM")
	if wisp == "" {
		wisp = filepath.Join(t.TempDir(), "containerd-shim-wisp-v2")
		if output, err := exec.Command("go", "build", "-o", wisp, "../../cmd/shim").CombinedOutput(); err != nil {
			t.Errorf("build our shim: %v\n%s", err, output)
			return found
		}
	}
	found["wisp"] = launch.Config{Binary: wisp}
	found["wisp legacy"] = launch.Config{Binary: wisp, Legacy: true}
	return found
}

// rootfs makes a root file system of busybox alone.
func rootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("these tests need busybox-static: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "echo", "cat", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shortDir makes a directory whose path leaves room for a socket's name, which t.TempDir's may not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "launch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A whole life, as a manager leads it, under every shim and protocol: what is answered, what is written, which events come, and that
// nothing is left.
func TestWholeLife(t *testing.T) {
	leak.Check(t)
	root := rootfs(t)
	for name, config := range shims(t) {
		t.Run(name, func(t *testing.T) { life(t, config, root) })
	}
}

func life(t *testing.T, config launch.Config, root string) {
	ctx, cancel := context.WithTimeout(t.Context(), lifeLimit)
	defer cancel()
	dir := shortDir(t)
	config.ID, config.Namespace = "life"+filepath.Base(dir), "launchtest"
	config.Bundle = filepath.Join(dir, config.ID)
	config.Address = filepath.Join(dir, "manager.sock")
	config.TTRPCAddress = filepath.Join(dir, "events.sock")
	config.SocketDir = filepath.Join(dir, "s")
	config.Options = options(t, &protos.RuncOptions{Root: filepath.Join(dir, "runc")})

	err := launch.MakeBundle(config.Bundle, launch.Container{
		Namespace: config.Namespace, ID: config.ID, Rootfs: root,
		Args: []string{"sh", "-c", "cat; echo $WORD; exit 42"}, Env: []string{"WORD=hello"},
	})
	check(t, err)
	var logged lockedBuffer
	log, err := launch.OpenLog(config.Bundle, &logged)
	check(t, err)
	events, err := launch.Listen(config.TTRPCAddress)
	check(t, err)

	shim, err := launch.Start(ctx, config)
	check(t, err)
	found, err := launch.ReadAnswer(config.Bundle)
	check(t, err)
	if found != shim.Answer {
		t.Errorf("found in the bundle: %+v, want %+v", found, shim.Answer)
	}
	process, err := shim.Process(ctx)
	check(t, err)
	output := runTask(ctx, t, shim, config)
	if output != "from stdin\nhello\n" {
		t.Errorf("output %q", output)
	}

	_, err = shim.Task.Shutdown(ctx, &protos.ShutdownRequest{Id: config.ID})
	if err != nil && !strings.Contains(err.Error(), "closed") {
		t.Errorf("shutdown: %v", err)
	}
	_ = shim.Close()
	if err := process.Wait(ctx); err != nil {
		t.Errorf("the shim's process remains: %v", err)
	}
	check(t, process.Close())
	_, err = shim.Delete(ctx)
	check(t, err)
	check(t, events.Close())
	check(t, log.Close())
	checkTopics(t, events, strings.HasSuffix(config.Binary, "runc-v2"))
	if _, err := os.Stat(shim.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the shim's socket %s remains", shim.Path())
	}
	if t.Failed() {
		t.Logf("log of the shim: %s", logged.String())
	}
}

// runTask leads a task from Create to Delete, feeds it one line and returns what it wrote.
func runTask(ctx context.Context, t *testing.T, shim *launch.Shim, config launch.Config) string {
	t.Helper()
	paths := [2]string{filepath.Join(config.Bundle, "in"), filepath.Join(config.Bundle, "out")}
	stdin, err := fifo.OpenFifo(ctx, paths[0], unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK, 0o600)
	check(t, err)
	stdout, err := fifo.OpenFifo(ctx, paths[1], unix.O_RDONLY|unix.O_CREAT|unix.O_NONBLOCK, 0o600)
	check(t, err)
	id := config.ID
	created, err := shim.Task.Create(ctx, &protos.CreateTaskRequest{
		Id: id, Bundle: config.Bundle, Stdin: paths[0], Stdout: paths[1], Stderr: paths[1], Options: config.Options,
	})
	check(t, err)
	started, err := shim.Task.Start(ctx, &protos.StartRequest{Id: id})
	check(t, err)
	if created.GetPid() == 0 || created.GetPid() != started.GetPid() {
		t.Errorf("pid %d created, %d started", created.GetPid(), started.GetPid())
	}
	_, err = io.WriteString(stdin, "from stdin\n")
	check(t, err)
	check(t, stdin.Close())
	_, err = shim.Task.CloseIO(ctx, &protos.CloseIORequest{Id: id, Stdin: true})
	check(t, err)
	exit, err := shim.Task.Wait(ctx, &protos.WaitRequest{Id: id})
	check(t, err)
	if exit.GetExitStatus() != 42 {
		t.Errorf("exit status %d, want 42", exit.GetExitStatus())
	}
	output, err := io.ReadAll(stdout)
	check(t, err)
	check(t, stdout.Close())
	deleted, err := shim.Task.Delete(ctx, &protos.DeleteRequest{Id: id})
	check(t, err)
	if deleted.GetExitStatus() != 42 {
		t.Errorf("Delete says %d, want 42", deleted.GetExitStatus())
	}
	_, err = shim.Task.State(ctx, &protos.StateRequest{Id: id})
	if err == nil {
		t.Error("State of a deleted task answers")
	}
	return string(output)
}

// checkTopics wants exactly the four events of a life, in order. The reference is forgiven its last two: it releases Wait before it queues the
// exit event, so that it may come after the delete event, and does not wait for its queue when it leaves (seen in one of six lives).
func checkTopics(t *testing.T, events *launch.Events, reference bool) {
	t.Helper()
	want := []string{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"}
	var topics []string
	for envelope := range events.C() {
		if _, err := launch.DecodeEvent(envelope); err != nil {
			t.Error(err)
		}
		topics = append(topics, envelope.GetTopic())
	}
	if reference {
		topics, want = topics[:min(2, len(topics))], want[:2]
	}
	if !slices.Equal(topics, want) {
		t.Errorf("events %q, want %q", topics, want)
	}
}

func options(t *testing.T, o *protos.RuncOptions) *anypb.Any {
	t.Helper()
	value, err := proto.Marshal(o)
	check(t, err)
	return &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: value}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer is a buffer that the log's goroutine may write to while the test reads it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
