package runc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/runc/runctest"
)

func TestPastItsBudgetTheRuntimeAndAllItStartedIsKilled(t *testing.T) {
	checkLeaks(t)
	r := fakeRuntime(t)
	// Long enough for the fake to have started its children on a busy machine, and killed long before its sleep ends.
	r.Budget = 3 * time.Second
	runctest.SetFaults(t, r.Binary, runctest.Fault{KeepStdio: true, Session: true, Sleep: time.Hour, Message: "never"})
	err := r.Delete(context.Background(), "c1", false)
	e := runtimeError(t, err)
	if !errors.Is(err, ErrTimeout) || e.Elapsed < r.Budget || e.Elapsed > patience || e.Exit.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", e)
	}
	prefix := "failed to delete task: " + r.Binary + " delete was killed after 3."
	if !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), "budget") {
		t.Errorf("got %v\nwant %s...", err, prefix)
	}
	awaitDead(t, runctest.Children(t, r.Binary), 2)
}

// awaitDead fails the test unless there are so many of these processes and all are dead.
func awaitDead(t *testing.T, pids []int, count int) {
	t.Helper()
	if len(pids) != count {
		t.Errorf("children %v, want %d", pids, count)
	}
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for {
			comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if err != nil || string(comm) != "sleep\n" {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("child %d lives", pid)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestACallerWhoLeavesEndsTheCall(t *testing.T) {
	checkLeaks(t)
	r := fakeRuntime(t)
	runctest.SetFaults(t, r.Binary, runctest.Fault{KeepStdio: true, Sleep: time.Hour, Message: "never"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.AfterFunc(time.Second, cancel)
	defer timer.Stop()
	err := stateError(ctx, r)
	e := runtimeError(t, err)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) || e.Exit.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", e)
	}
	if want := " state was killed after "; !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
	// And a call whose caller has left already is not made.
	err = stateError(ctx, r)
	if !errors.Is(err, context.Canceled) || !strings.HasSuffix(err.Error(), " state was not run: context canceled") {
		t.Errorf("got %v", err)
	}
	deadline, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := stateError(deadline, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// stateError asks for a state and returns the error alone.
func stateError(ctx context.Context, r *Runtime) error {
	_, err := r.State(ctx, "c1")
	return err
}

func TestAChildThatKeepsTheStreamsIsNotWaitedFor(t *testing.T) {
	checkLeaks(t)
	r := fakeRuntime(t)
	runctest.SetFaults(t, r.Binary, runctest.Fault{KeepStdio: true, Exit: 7})
	began := time.Now()
	e := runtimeError(t, stateError(context.Background(), r))
	if e.Exit.Status != 7 || time.Since(began) > patience/2 {
		t.Errorf("got %+v after %v", e, time.Since(began))
	}
	for _, pid := range runctest.Children(t, r.Binary) {
		must(t, syscall.Kill(pid, syscall.SIGKILL)) // it has 60 s to live, and is our child by now
	}
}

// A log keeps the errors of earlier calls: spec 10, item 13.
func TestAnErrorIsTheCallsOwn(t *testing.T) {
	r := fakeRuntime(t)
	earlier := `{"level":"error","msg":"earlier"}` + "\n"
	later := func(s string) string { return strings.ReplaceAll(s, "LOG", r.Log) }
	for name, c := range map[string]struct {
		fault runctest.Fault
		noLog bool
		want  string
	}{
		"the last error counts": {
			fault: runctest.Fault{Log: `{"level":"error","msg":"first"}` + "\n" + `{"level":"warning","msg":"odd"}` + "\n", Message: " last \n"},
			want:  "OCI runtime start failed: last",
		},
		"an error without a newline": {
			fault: runctest.Fault{Log: `{"level":"error","msg":"cut off"}`, Exit: 1},
			want:  "OCI runtime start failed: cut off",
		},
		"no words": {
			fault: runctest.Fault{Exit: 2},
			want:  "OCI runtime start failed: BIN did not terminate successfully: exit status 2",
		},
		"words on standard error alone": {
			fault: runctest.Fault{Print: "runc: error while loading shared libraries: libseccomp.so.2\n", Exit: 127},
			want: "OCI runtime start failed: BIN did not terminate successfully: exit status 127: " +
				"runc: error while loading shared libraries: libseccomp.so.2",
		},
		"death by signal": {
			fault: runctest.Fault{Signal: syscall.SIGKILL},
			want:  "OCI runtime start failed: BIN did not terminate successfully: signal: killed",
		},
		"garbage": {
			fault: runctest.Fault{Log: "\x00\xff garbage", Exit: 1},
			want: "OCI runtime start failed: unable to retrieve OCI runtime error (parse log: invalid character '\\x00' looking for " +
				"beginning of value): BIN did not terminate successfully: exit status 1",
		},
		"words behind garbage": {
			fault: runctest.Fault{Log: "{garbage\n", Message: "found"},
			want:  "OCI runtime start failed: found",
		},
		"no log": {
			fault: runctest.Fault{Exit: 1},
			noLog: true,
			want: "OCI runtime start failed: unable to retrieve OCI runtime error (open LOG: no such file or directory): " +
				"BIN did not terminate successfully: exit status 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(r.Log, []byte(earlier), 0o600))
			if c.noLog {
				must(t, os.Remove(r.Log))
			}
			runctest.SetFaults(t, r.Binary, c.fault)
			err := r.Start(context.Background(), "c1")
			if want := strings.ReplaceAll(later(c.want), "BIN", r.Binary); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestPrefixesAreContainerds(t *testing.T) {
	r := fakeRuntime(t)
	runctest.SetFaults(t, r.Binary, runctest.Fault{Message: "words"})
	ctx := context.Background()
	raw := r.Binary + " did not terminate successfully: exit status 1: words"
	for want, err := range map[string]error{
		"OCI runtime create failed: words":  r.Create(ctx, "c1", CreateOptions{Bundle: "/b", PidFile: "/p"}),
		"OCI runtime start failed: words":   r.Start(ctx, "c1"),
		"OCI runtime exec failed: words":    r.Exec(ctx, "c1", ExecOptions{ProcessFile: "/p", PidFile: "/p"}),
		"OCI runtime pause failed: words":   r.Pause(ctx, "c1"),
		"OCI runtime resume failed: words":  r.Resume(ctx, "c1"),
		"OCI runtime killall failed: words": r.Kill(ctx, "c1", 9, true),
		"failed to delete task: words":      r.Delete(ctx, "c1", false),
		raw:                                 r.Kill(ctx, "c1", 9, false),
		raw + "":                            r.Update(ctx, "c1", []byte("{}")),
	} {
		e := runtimeError(t, err)
		if err.Error() != want || e.Message != "words" || e.Exit.Status != 1 || e.Elapsed <= 0 {
			t.Errorf("got %v: %+v\nwant %s", err, e, want)
		}
	}
}

func TestAMissingBinaryIsNamed(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	script := filepath.Join(dir, "script")
	must(t, os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o700))
	for binary, want := range map[string]string{
		"no-runc":     `exec: "no-runc": executable file not found in $PATH`,
		"/no/such/rc": `exec: "/no/such/rc": stat /no/such/rc: no such file or directory`,
		plain:         `exec: "` + plain + `": permission denied`,
		dir:           `exec: "` + dir + `": permission denied`,
		script:        `exec: "` + script + `": start ` + script + `: no such file or directory`,
	} {
		r := &Runtime{Binary: binary, Log: filepath.Join(dir, "log"), Spawn: theReaper.Start}
		err := r.Create(context.Background(), "c1", CreateOptions{Bundle: dir})
		if !errors.Is(err, ErrNoBinary) || errors.Is(err, os.ErrNotExist) || err.Error() != "OCI runtime create failed: "+want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestTheBinaryIsFoundInTheRuntimesOwnPath(t *testing.T) {
	r := fakeRuntime(t)
	r.Env = []string{"PATH=/nowhere:relative::" + filepath.Dir(r.Binary), "NOTIFY_SOCKET=/s", "A=b"}
	if got := strings.Join(r.env(), " "); strings.Contains(got, "NOTIFY_SOCKET") || !strings.Contains(got, "A=b") {
		t.Errorf("environment %s", got)
	}
	path, err := lookPath(filepath.Base(r.Binary), r.env())
	if err != nil || path != r.Binary {
		t.Errorf("got %s, %v", path, err)
	}
	if len(r.Env) != 3 {
		t.Errorf("the caller's environment was changed: %v", r.Env)
	}
	t.Setenv("NOTIFY_SOCKET", "/s")
	r.Env = nil
	if strings.Contains(strings.Join(r.env(), " "), "NOTIFY_SOCKET") {
		t.Error("NOTIFY_SOCKET was handed on")
	}
}

func TestALongLogCostsItsEndAlone(t *testing.T) {
	r := fakeRuntime(t)
	long := strings.Repeat(`{"level":"info","msg":"noise"}`+"\n", 100_000)
	runctest.SetFaults(t, r.Binary, runctest.Fault{Log: long, Message: "words", Print: strings.Repeat("x", 3*maxText)})
	err := r.Start(context.Background(), "c1")
	if e := runtimeError(t, err); e.Message != "words" {
		t.Errorf("got %.200v", err)
	}
	// One message alone that is too long is cut, and still told.
	must(t, os.Truncate(r.Log, 0))
	runctest.SetFaults(t, r.Binary, runctest.Fault{Message: strings.Repeat("y", 3*maxText)})
	err = r.Start(context.Background(), "c1")
	if e := runtimeError(t, err); len(e.Message) > maxText || !strings.HasSuffix(e.Message, "yyy") || len(err.Error()) > 2*maxText {
		t.Errorf("got %d bytes", len(e.Message))
	}
}
