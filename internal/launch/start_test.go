package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// script makes a shim of a shell script, in a bundle of its own.
func script(t *testing.T, text string) Config {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "id1")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(filepath.Dir(bundle), "shim")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{
		Binary: binary, PublishBinary: "/bin/manager", Namespace: "ns1", ID: "id1", Bundle: bundle, Address: "/run/manager.sock",
		TTRPCAddress: "/run/events.sock",
	}
}

// What a shim is told is what containerd tells it: arguments, environment, working directory, standard input.
func TestWhatAShimIsTold(t *testing.T) {
	c := script(t, `echo "$@" >args; env >env; pwd >cwd; cat >stdin; ps -o pgid= -p $$ >pgid; exit 1`)
	c.Options = &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: []byte{0x10, 1}}
	c.Env = []string{"EXTRA=yes"}
	c.Debug = true
	if _, err := Start(t.Context(), c); err == nil {
		t.Fatal("a failed start succeeds")
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(c.Bundle, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	want := "-namespace ns1 -address /run/manager.sock -publish-binary /bin/manager -id id1 -debug start\n"
	if got := read("args"); got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got := strings.TrimSpace(read("cwd")); got != c.Bundle {
		t.Errorf("working directory %s, want %s", got, c.Bundle)
	}
	env := strings.Split(read("env"), "\n")
	for _, want := range []string{"TTRPC_ADDRESS=/run/events.sock", "GRPC_ADDRESS=/run/manager.sock", "NAMESPACE=ns1", "MAX_SHIM_VERSION=2",
		"GOMAXPROCS=2", "EXTRA=yes"} {
		if !slices.Contains(env, want) {
			t.Errorf("environment lacks %s", want)
		}
	}
	var params protos.BootstrapParams
	if err := proto.Unmarshal([]byte(read("stdin")), &params); err != nil {
		t.Fatal(err)
	}
	if params.GetInstanceId() != "id1" || params.GetNamespace() != "ns1" || params.GetLogLevel() != -4 ||
		!proto.Equal(params.GetExtensions()[0].GetValue(), c.Options) {
		t.Errorf("standard input %v", &params)
	}
	c.Legacy = true
	if _, err := Start(t.Context(), c); err == nil {
		t.Fatal("a failed start succeeds")
	}
	var options anypb.Any
	if err := proto.Unmarshal([]byte(read("stdin")), &options); err != nil || !proto.Equal(&options, c.Options) {
		t.Errorf("legacy standard input %v, %v", &options, err)
	}
}

// A start that fails is reported with what it printed, on whichever of its outputs.
func TestFailedStartTellsWhy(t *testing.T) {
	c := script(t, "echo on stdout; echo on stderr >&2; exit 3")
	_, err := Start(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "on stdout") || !strings.Contains(err.Error(), "on stderr") ||
		!strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

// A shim that keeps start's output open would hang containerd; here that is an error, and does not hang.
func TestHeldOutputIsAnError(t *testing.T) {
	c := script(t, "sleep 60 & echo $! >holder; echo unix:///run/none")
	_, err := Start(t.Context(), c)
	if !errors.Is(err, ErrOutputHeld) {
		t.Errorf("error %v, want ErrOutputHeld", err)
	}
	killHolder(t, c.Bundle)
}

// The end of the context ends a start that hangs.
func TestCancelledStartEnds(t *testing.T) {
	c := script(t, "echo $$ >holder; exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Env = []string{"X=1"}
	go cancelWhenThere(ctx, filepath.Join(c.Bundle, "holder"), cancel)
	if _, err := Start(ctx, c); err == nil {
		t.Error("a cancelled start succeeds")
	}
}

// cancelWhenThere cancels once a file is not empty.
func cancelWhenThere(ctx context.Context, path string, cancel context.CancelFunc) {
	for ctx.Err() == nil {
		if data, _ := os.ReadFile(path); len(data) > 0 {
			cancel()
		}
		runtime.Gosched()
	}
}

// killHolder ends the process whose pid a script has left in the file holder.
func killHolder(t *testing.T, bundle string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(bundle, "holder"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	process, err := OpenProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Error(err)
	}
	if err := process.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := process.Close(); err != nil {
		t.Error(err)
	}
}

// A dead socket is told at once, and delete's answer is read.
func TestDeadSocketAndDelete(t *testing.T) {
	c := script(t, `case "$*" in *" delete") printf '\010\007\020\052' ;; *) echo unix:///tmp/launch-none.sock ;; esac`)
	if _, err := Start(t.Context(), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start with a dead socket: %v", err)
	}
	response, err := Delete(t.Context(), c)
	if err != nil || response.GetPid() != 7 || response.GetExitStatus() != 42 {
		t.Errorf("delete: %v, %v", response, err)
	}
}
