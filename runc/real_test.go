package runc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// realRuntimes are the drivers of the real runcs that are here: the one that `make
// deps` builds, and the system's.
func realRuntimes(t *testing.T) map[string]*Runtime {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("runc needs root")
	}
	found := map[string]*Runtime{}
	built, err := filepath.Abs("../.cache/bin/runc")
	must(t, err)
	for name, binary := range map[string]string{"built": built, "system": "runc"} {
		if _, err := lookPath(binary, os.Environ()); err == nil {
			found[name] = &Runtime{Binary: binary, Root: t.TempDir(), Log: filepath.Join(t.TempDir(), "log.json"), Spawn: theReaper.Start}
		}
	}
	if len(found) == 0 {
		t.Skip("there is no runc: run make deps")
	}
	return found
}

// realBundle makes a bundle with busybox and nothing else.
func realBundle(t *testing.T, args ...string) string {
	t.Helper()
	const busybox = "/bin/busybox"
	dir := t.TempDir()
	bin := filepath.Join(dir, "rootfs", "bin")
	must(t, os.MkdirAll(bin, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "rootfs", "proc"), 0o755))
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	must(t, os.WriteFile(filepath.Join(bin, "busybox"), data, 0o755))
	for _, name := range []string{"sh", "sleep", "true"} {
		must(t, os.Symlink("busybox", filepath.Join(bin, name)))
	}
	type object = map[string]any
	spec := object{
		"ociVersion": "1.0.2",
		"process":    object{"args": args, "cwd": "/", "env": []string{"PATH=/bin"}, "user": object{"uid": 0, "gid": 0}},
		"root":       object{"path": "rootfs"},
		"mounts":     []object{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux": object{
			"cgroupsPath": "/wisp-runc-test-" + strings.ToLower(filepath.Base(filepath.Dir(dir))),
			"namespaces":  []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}},
		},
	}
	writeConfig(t, dir, spec)
	return dir
}

func writeConfig(t *testing.T, dir string, spec any) {
	t.Helper()
	data, err := json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600))
}

func forEachRuntime(t *testing.T, f func(t *testing.T, l *life)) {
	for name, r := range realRuntimes(t) {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			l := &life{t: t, r: r, id: "wisp-runc-test", bundle: realBundle(t, "sleep", "1000")}
			defer func() { must(t, r.Delete(context.Background(), l.id, true)) }()
			f(t, l)
		})
	}
}

func TestAWholeLifeOfARealContainer(t *testing.T) {
	forEachRuntime(t, func(t *testing.T, l *life) {
		ctx := context.Background()
		init := l.create([3]*os.File{})
		if s, err := l.r.State(ctx, l.id); err != nil || s != (State{Pid: init.Pid(), Status: "created", Bundle: l.bundle}) {
			t.Errorf("got %+v, %v", s, err)
		}
		must(t, l.r.Start(ctx, l.id))
		exec := l.exec("e1", [3]*os.File{}, "/bin/sh", "-c", "exit 42")
		<-exec.Done()
		if e := exec.Exit(); e.Status != 42 {
			t.Errorf("exec: %+v", e)
		}
		pids, err := l.r.Pids(ctx, l.id)
		must(t, err)
		if len(pids) != 1 || pids[0] != init.Pid() {
			t.Errorf("pids %v, want %d", pids, init.Pid())
		}
		must(t, l.r.Update(ctx, l.id, []byte(`{"pids":{"limit":100}}`)))
		must(t, l.r.Pause(ctx, l.id))
		if s := l.status(); s != "paused" {
			t.Errorf("%s after pause", s)
		}
		must(t, l.r.Resume(ctx, l.id))
		must(t, l.r.Kill(ctx, l.id, syscall.SIGKILL, false))
		<-init.Done()
		if e := init.Exit(); e.Signal != syscall.SIGKILL || e.Status != 137 {
			t.Errorf("init: %+v", e)
		}
		if pids, err := l.r.Pids(ctx, l.id); err != nil || len(pids) != 0 {
			t.Errorf("pids of a stopped container: %v, %v", pids, err)
		}
		must(t, l.r.Delete(ctx, l.id, false))
	})
}

// checkError compares an error's text, one of want, and its kind.
func checkError(t *testing.T, err error, kind error, want ...string) {
	t.Helper()
	e := runtimeError(t, err)
	if !slices.Contains(want, err.Error()) || e.Kind != kind || e.Exit.Status == 0 {
		t.Errorf("got  %v (kind %v)\nwant %q (kind %v)", err, e.Kind, want, kind)
	}
}

const missingCommand = `exec: "/nope": stat /nope: no such file or directory`

func TestRealErrorsOfCreateKeepTheirWordsAndHaveTheirKind(t *testing.T) {
	forEachRuntime(t, func(t *testing.T, l *life) {
		check := func(bundle string, kind error, want ...string) {
			t.Helper()
			err := l.r.Create(context.Background(), l.id, CreateOptions{Bundle: bundle, PidFile: filepath.Join(l.bundle, "x.pid")})
			for i := range want {
				want[i] = "OCI runtime create failed: runc create failed: " + want[i]
			}
			checkError(t, err, kind, want...)
		}
		check(t.TempDir(), nil, "JSON specification file config.json not found")
		broken := t.TempDir()
		must(t, os.WriteFile(filepath.Join(broken, "config.json"), []byte(`{"process": {`), 0o600))
		check(broken, nil, "unexpected EOF")
		check(realBundle(t, "/nope"), nil,
			"unable to start container process: error during container init: "+missingCommand, // 1.5.2
			"unable to start container process: "+missingCommand)                              // 1.1.5
		check(realBundle(t, "nope"), nil,
			`unable to start container process: error during container init: exec: "nope": executable file not found in $PATH`,
			`unable to start container process: exec: "nope": executable file not found in $PATH`)
		l.create([3]*os.File{})
		check(l.bundle, ErrExists, "container with given ID already exists")
	})
}

func TestRealErrorsOfAMissingContainerHaveTheirKind(t *testing.T) {
	forEachRuntime(t, func(t *testing.T, l *life) {
		ctx := context.Background()
		const words = "container does not exist"
		checkError(t, l.r.Start(ctx, "nope"), ErrNotExist, "OCI runtime start failed: "+words)
		checkError(t, l.r.Delete(ctx, "nope", false), ErrNotExist, "failed to delete task: "+words)
		checkError(t, l.r.Kill(ctx, "nope", 9, false), ErrNotExist, l.r.name()+" did not terminate successfully: exit status 1: "+words)
		must(t, l.r.Delete(ctx, "nope", true))
	})
}

func TestRealErrorsOfAContainerKeepTheirWordsAndHaveTheirKind(t *testing.T) {
	forEachRuntime(t, func(t *testing.T, l *life) {
		ctx := context.Background()
		init := l.create([3]*os.File{})
		must(t, l.r.Start(ctx, l.id))
		process := filepath.Join(l.bundle, "p.json")
		exec := func(spec string) error {
			must(t, os.WriteFile(process, []byte(spec), 0o600))
			return l.r.Exec(ctx, l.id, ExecOptions{
				ProcessFile: process, PidFile: filepath.Join(l.bundle, "p.pid"), Log: filepath.Join(l.bundle, "p.log"),
			})
		}
		const good, failed = `{"args":["true"],"cwd":"/","env":["PATH=/bin"]}`, "OCI runtime exec failed: exec failed: "
		checkError(t, exec(`{"args":["/nope"],"cwd":"/"}`), nil, failed+"unable to start container process: "+missingCommand)
		checkError(t, exec(`{"args":`), nil, failed+"unexpected EOF")
		must(t, l.r.Pause(ctx, l.id))
		checkError(t, exec(good), ErrPaused, failed+"cannot exec in a paused container (use --ignore-paused to override)")
		must(t, l.r.Resume(ctx, l.id))
		checkError(t, l.r.Delete(ctx, l.id, false), nil,
			"failed to delete task: cannot delete container "+l.id+" that is not stopped: running")
		must(t, l.r.Kill(ctx, l.id, 9, false))
		<-init.Done()
		checkError(t, l.r.Kill(ctx, l.id, 15, false), ErrNotRunning,
			l.r.name()+" did not terminate successfully: exit status 1: container not running")
		checkError(t, exec(good), ErrNotRunning, failed+"cannot exec in a stopped container")
		checkError(t, l.r.Pause(ctx, l.id), ErrNotRunning, "OCI runtime pause failed: container not running")
		checkError(t, l.r.Start(ctx, l.id), ErrNotRunning, "OCI runtime start failed: cannot start a container that has stopped")
	})
}

func TestFeaturesAreRawJSON(t *testing.T) {
	for name, r := range realRuntimes(t) {
		r.Root, r.Log = "", ""
		out, err := r.Features(context.Background())
		if err != nil || !json.Valid(out) || !bytes.Contains(out, []byte("ociVersionMin")) {
			t.Errorf("%s: %.100s, %v", name, out, err)
		}
	}
}

// A killed create must leave nothing that a forced delete does not remove, wherever
// the kill comes.
func TestAKilledCreateIsRemovedByAForcedDelete(t *testing.T) {
	forEachRuntime(t, func(t *testing.T, l *life) {
		for _, budget := range []int{1, 4, 8, 12, 16, 20, 24, 28} {
			killed := *l.r
			killed.Budget = durationOf(budget)
			err := killed.Create(context.Background(), l.id, CreateOptions{Bundle: l.bundle, PidFile: filepath.Join(l.bundle, "init.pid")})
			if err != nil && !errors.Is(err, ErrTimeout) {
				t.Errorf("create: %v", err)
			}
			must(t, l.r.Delete(context.Background(), l.id, true))
			if _, err := os.Stat(filepath.Join(l.r.Root, l.id)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("state is left after %d ms: %v", budget, err)
			}
			awaitNoChildren(t)
		}
	})
}

// awaitNoChildren waits until the reaper has reaped all that the runtime left us.
func awaitNoChildren(t *testing.T) {
	t.Helper()
	for range tick(t) {
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); errors.Is(err, unix.ECHILD) {
			return
		}
	}
}
