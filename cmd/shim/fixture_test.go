package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/internal/leak"
	"github.com/wisp-shim/wisp/protos"
)

// Durations of the tests. None is waited for where all is well.
const (
	testLimit = 1 * time.Minute       // one test
	soonLimit = 20 * time.Second      // what must become true of itself, on a busy machine
	soonPause = 10 * time.Millisecond // between two looks
)

const namespace = "shimtest"

// markerKey is the variable that marks the shim and all that it starts, so that what is left of them can be found.
const markerKey = "WISP_TEST_RIG"

// built is what the tests drive; TestMain fills it in.
type built struct{ shim, runc, rootfs string }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wisp-cmd-shim")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("make", "-s", "-C", "../..", "shim", "SHIM="+filepath.Join(dir, "containerd-shim-wisp-v2"))
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the shim: %v\n%s", err, output)
		return 1
	}
	tools, err := filepath.Abs("../../.cache")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, path := range []string{"bin/runc", "rootfs/bin/busybox"} {
		if _, err := os.Stat(filepath.Join(tools, path)); err != nil {
			fmt.Fprintf(os.Stderr, "%v: run make deps\n", err)
			return 1
		}
	}
	os.Setenv("PATH", filepath.Join(tools, "bin")+":"+os.Getenv("PATH"))
	os.Setenv("WISP_TEST_BUILT", dir)
	os.Setenv("WISP_TEST_TOOLS", tools)
	return m.Run()
}

func binaries() built {
	dir, tools := os.Getenv("WISP_TEST_BUILT"), os.Getenv("WISP_TEST_TOOLS")
	return built{
		shim:   filepath.Join(dir, "containerd-shim-wisp-v2"),
		runc:   filepath.Join(tools, "bin/runc"),
		rootfs: filepath.Join(tools, "rootfs"),
	}
}

// rig is one bundle with all that a manager keeps around it. Its end, at the end of the test, checks that nothing of the shim is left.
type rig struct {
	t       *testing.T
	ctx     context.Context
	dir     string // holds everything
	options *protos.RuncOptions
	config  launch.Config
	spec    *launch.Spec
	events  *launch.Events
	logged  *lockedBuffer

	shim    *launch.Shim
	process *launch.Process
}

// newRig makes a bundle whose container runs args; change may be nil.
func newRig(t *testing.T, change func(*launch.Container), args ...string) *rig {
	t.Helper()
	leak.Check(t)
	dir, err := os.MkdirTemp("/tmp", "wisp") // short: a socket's path has 107 bytes
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	id := "c" + filepath.Base(dir)
	r := &rig{t: t, ctx: ctx, dir: dir, logged: &lockedBuffer{}, options: &protos.RuncOptions{Root: filepath.Join(dir, "runc")}}
	r.config = launch.Config{
		Binary: binaries().shim, Namespace: namespace, ID: id,
		Bundle: filepath.Join(dir, id), Address: filepath.Join(dir, "m.sock"), TTRPCAddress: filepath.Join(dir, "e.sock"),
		SocketDir: filepath.Join(dir, "s"), Env: []string{r.marker()}, Debug: true,
	}
	container := launch.Container{Namespace: namespace, ID: id, Rootfs: binaries().rootfs, Args: args, Env: []string{r.marker()}}
	if change != nil {
		change(&container)
	}
	r.spec = container.Spec()
	must(t, launch.MakeBundle(r.config.Bundle, container))
	log, err := launch.OpenLog(r.config.Bundle, r.logged)
	must(t, err)
	r.events, err = launch.Listen(r.config.TTRPCAddress)
	must(t, err)
	t.Cleanup(func() {
		defer cancel()
		r.end()
		if r.events != nil {
			must(t, r.events.Close())
		}
		must(t, log.Close())
		if t.Failed() {
			t.Logf("log of the shim:\n%s", r.logged)
		}
		must(t, os.RemoveAll(dir))
	})
	return r
}

func (r *rig) marker() string { return markerKey + "=" + filepath.Base(r.dir) }

// start starts the shim.
func (r *rig) start() *rig {
	r.t.Helper()
	shim, err := launch.Start(r.ctx, r.config)
	must(r.t, err)
	r.shim = shim
	r.process, err = shim.Process(r.ctx)
	must(r.t, err)
	return r
}

// create creates the rig's task; change may be nil.
func (r *rig) create(change func(*protos.CreateTaskRequest)) (*protos.CreateTaskResponse, error) {
	request := &protos.CreateTaskRequest{Id: r.config.ID, Bundle: r.config.Bundle, Options: pack(r.t, r.options)}
	if change != nil {
		change(request)
	}
	return r.shim.Task.Create(r.ctx, request)
}

// run creates and starts the task and returns init's pid.
func (r *rig) run() int {
	r.t.Helper()
	_, err := r.create(nil)
	must(r.t, err)
	started, err := r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
	must(r.t, err)
	return int(started.GetPid())
}

// exec adds and starts an exec with its stdout at a path, or nowhere, and returns its pid.
func (r *rig) exec(id, stdout string, args ...string) int {
	r.t.Helper()
	_, err := r.shim.Task.Exec(r.ctx, &protos.ExecProcessRequest{Id: r.config.ID, ExecId: id, Stdout: stdout, Spec: r.processSpec(args...)})
	must(r.t, err)
	started, err := r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID, ExecId: id})
	must(r.t, err)
	return int(started.GetPid())
}

func (r *rig) processSpec(args ...string) *anypb.Any {
	process := r.spec.Process
	process.Args = args
	value, err := json.Marshal(process)
	must(r.t, err)
	return &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: value}
}

// wait returns the exit status of init ("") or an exec.
func (r *rig) wait(execID string) uint32 {
	r.t.Helper()
	exit, err := r.shim.Task.Wait(r.ctx, &protos.WaitRequest{Id: r.config.ID, ExecId: execID})
	must(r.t, err)
	return exit.GetExitStatus()
}

func (r *rig) delete(execID string) *protos.DeleteResponse {
	r.t.Helper()
	deleted, err := r.shim.Task.Delete(r.ctx, &protos.DeleteRequest{Id: r.config.ID, ExecId: execID})
	must(r.t, err)
	return deleted
}

func (r *rig) kill(execID string, signal unix.Signal, all bool) {
	r.t.Helper()
	_, err := r.shim.Task.Kill(r.ctx, &protos.KillRequest{Id: r.config.ID, ExecId: execID, Signal: uint32(signal), All: all})
	must(r.t, err)
}

func (r *rig) state(execID string) *protos.StateResponse {
	r.t.Helper()
	state, err := r.shim.Task.State(r.ctx, &protos.StateRequest{Id: r.config.ID, ExecId: execID})
	must(r.t, err)
	return state
}

// finish kills and deletes the task.
func (r *rig) finish() {
	r.t.Helper()
	r.kill("", unix.SIGKILL, true)
	r.wait("")
	r.delete("")
}

// event waits for the next event on topic and returns what came before it too, oldest first.
func (r *rig) event(topic string) []*protos.Envelope {
	r.t.Helper()
	var before []*protos.Envelope
	for {
		select {
		case e, ok := <-r.events.C():
			if !ok {
				r.t.Fatalf("no event on %s: the server is closed", topic)
			}
			before = append(before, e)
			if e.GetTopic() == topic {
				return before
			}
		case <-time.After(soonLimit):
			r.t.Fatalf("no event on %s; there came %v", topic, topics(before))
		}
	}
}

func topics(envelopes []*protos.Envelope) []string {
	names := make([]string, len(envelopes))
	for i, e := range envelopes {
		names[i] = e.GetTopic()
	}
	return names
}

// runc runs the runtime as an operator would and returns its output.
func (r *rig) runc(args ...string) []byte {
	r.t.Helper()
	cmd := exec.CommandContext(r.ctx, binaries().runc, append([]string{"--root", filepath.Join(r.options.GetRoot(), namespace)}, args...)...)
	// A file, for a container that is left detached keeps it open: a pipe would never end.
	file, err := os.CreateTemp(r.dir, "runc-output")
	must(r.t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	output, _ := os.ReadFile(file.Name())
	if err != nil {
		r.t.Fatalf("runc %v: %v: %s", args, err, output)
	}
	return output
}

// soon waits until a condition holds of itself.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soonLimit); !holds(); time.Sleep(soonPause) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", soonLimit, what)
		}
	}
}

// wantCode checks an answer's code and that its text has each of the words.
func wantCode(t *testing.T, what string, err error, code codes.Code, words ...string) {
	t.Helper()
	if launch.Code(err) != code || err == nil {
		t.Errorf("%s: %v (%v), want %v", what, err, launch.Code(err), code)
		return
	}
	for _, word := range words {
		if !bytes.Contains([]byte(launch.Message(err)), []byte(word)) {
			t.Errorf("%s: %q does not say %q", what, launch.Message(err), word)
		}
	}
}

func pack(t *testing.T, options *protos.RuncOptions) *anypb.Any {
	t.Helper()
	value, err := proto.Marshal(options)
	must(t, err)
	return &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: value}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
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
