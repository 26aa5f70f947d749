package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// gone waits for the shim's end, however it came, and lets go of it.
func (r *rig) gone() {
	r.t.Helper()
	must(r.t, r.process.Wait(r.ctx))
	r.letGo()
}

// exitOf decodes an exit event.
func exitOf(t *testing.T, e *protos.Envelope) *protos.TaskExit {
	t.Helper()
	message, err := launch.DecodeEvent(e)
	must(t, err)
	return message.(*protos.TaskExit)
}

func TestSIGTERMWithoutATaskLeavesAtOnce(t *testing.T) {
	r := newRig(t, nil, "true").start()
	must(t, unix.Kill(r.process.Pid, unix.SIGTERM))
	begun := time.Now()
	r.gone()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// SIGTERM is handed to the container, which may leave in its own way; what it says is recorded and told.
func TestSIGTERMWithATaskStopsAndTellsIt(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", `trap "exit 42" TERM; echo ready; while :; do sleep 0.1; done`)
	out := r.write("out", "", 0o600)
	r.start()
	_, err := r.create(func(q *protos.CreateTaskRequest) { q.Stdout = "file://" + out })
	must(t, err)
	_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
	must(t, err)
	soon(t, "the trap is set", func() bool { data, _ := os.ReadFile(out); return len(data) > 0 })
	must(t, unix.Kill(r.process.Pid, unix.SIGTERM))
	seen := r.event(protos.TopicExit)
	if exit := exitOf(t, seen[len(seen)-1]); exit.GetExitStatus() != 42 {
		t.Errorf("the exit event says %d", exit.GetExitStatus())
	}
	r.gone()
	record, err := bundle.Dir(r.config.Bundle).ReadExit()
	if err != nil || record.Status != 42 {
		t.Errorf("the record: %+v, %v", record, err)
	}
	deleted, err := launch.Delete(r.ctx, r.config)
	must(t, err)
	if deleted.GetExitStatus() != 42 {
		t.Errorf("delete says %d", deleted.GetExitStatus())
	}
}

// A shim that was killed is cleared away by `delete`: container, execs, socket. Nothing is known of the end, so it is 137.
func TestDeleteAfterSIGKILLOfTheShim(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "sleep 1000 & sleep 1000 & wait").start()
	r.run()
	r.exec("e", "", "sleep", "1000")
	socket := r.shim.Path()
	must(t, r.process.Kill())
	r.gone()
	if !exists(socket) {
		t.Error("the dead socket has gone by itself: the test proves nothing")
	}
	deleted, err := launch.Delete(r.ctx, r.config)
	must(t, err)
	if deleted.GetExitStatus() != 137 {
		t.Errorf("delete says %d", deleted.GetExitStatus())
	}
	again, err := launch.Delete(r.ctx, r.config)
	must(t, err)
	if again.GetExitStatus() != 137 {
		t.Errorf("delete says %d the second time", again.GetExitStatus())
	}
	r.mayKeepTraces()
}

// mayKeepTraces removes what a dead shim leaves in the bundle and `delete` does not look at: the manager removes the bundle.
func (r *rig) mayKeepTraces() {
	for _, name := range []string{bundle.AddressFile, bundle.SocketDirLink, "e.pid", ".e.pid", "e.process.json", "e.log.json", ".init.pid"} {
		_ = os.Remove(filepath.Join(r.config.Bundle, name))
	}
}

// The exit that a shim has recorded before it was killed is what `delete` tells.
func TestDeleteAfterSIGKILLTellsTheRecordedExit(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "exit 7").start()
	r.run()
	r.wait("")
	must(t, r.process.Kill())
	r.gone()
	deleted, err := launch.Delete(r.ctx, r.config)
	must(t, err)
	if deleted.GetExitStatus() != 7 || deleted.GetExitedAt().AsTime().IsZero() {
		t.Errorf("delete says %d at %v", deleted.GetExitStatus(), deleted.GetExitedAt().AsTime())
	}
	r.mayKeepTraces()
}

// A shim may be killed at any moment of a Create: `delete` finds what there is by then.
func TestDeleteAfterSIGKILLDuringCreate(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 30 * time.Millisecond, 60 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			r := newRig(t, nil, "sleep", "1000").start()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = r.create(func(q *protos.CreateTaskRequest) {
					q.Rootfs = []*protos.Mount{{Type: "bind", Source: binaries().rootfs, Options: []string{"rbind", "ro"}}}
				})
			}()
			time.Sleep(after) // which moment it is does not matter
			must(t, r.process.Kill())
			<-done
			r.gone()
			// The runtime dies with the shim; what it has forked by then may take a moment.
			soon(t, "nothing is left after delete", func() bool {
				_, err := launch.Delete(r.ctx, r.config)
				must(t, err)
				r.mayKeepTraces()
				return len(r.leftovers()) == 0
			})
		})
	}
}

// The same for any moment of a whole life, with an exec and a root file system of its own.
func TestDeleteAfterSIGKILLAtAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 8 {
		after := time.Duration(random.Int64N(int64(150 * time.Millisecond)))
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Logf("killed after %v", after)
			r := newRig(t, nil, "sleep", "1000").start()
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.liveQuietly()
			}()
			time.Sleep(after) // which moment it is does not matter
			must(t, r.process.Kill())
			<-done
			r.gone()
			soon(t, "nothing is left after delete", func() bool {
				deleted, err := launch.Delete(r.ctx, r.config)
				must(t, err)
				if deleted.GetExitStatus() != 137 {
					t.Fatalf("delete says %d", deleted.GetExitStatus())
				}
				r.mayKeepTraces()
				return len(r.leftovers()) == 0
			})
		})
	}
}

// liveQuietly leads a life and stops at the first error: the shim may be killed at any moment.
func (r *rig) liveQuietly() {
	task, id := r.shim.Task, r.config.ID
	rootfs := []*protos.Mount{{Type: "bind", Source: binaries().rootfs, Options: []string{"rbind", "ro"}}}
	request := &protos.CreateTaskRequest{Id: id, Bundle: r.config.Bundle, Options: pack(r.t, r.options), Rootfs: rootfs}
	for _, step := range []func() error{
		func() error { _, err := task.Create(r.ctx, request); return err },
		func() error { _, err := task.Start(r.ctx, &protos.StartRequest{Id: id}); return err },
		func() error {
			_, err := task.Exec(r.ctx, &protos.ExecProcessRequest{Id: id, ExecId: "e", Spec: r.processSpec("sleep", "1000")})
			return err
		},
		func() error { _, err := task.Start(r.ctx, &protos.StartRequest{Id: id, ExecId: "e"}); return err },
		func() error { _, err := task.Kill(r.ctx, &protos.KillRequest{Id: id, Signal: 9}); return err },
		func() error { _, err := task.Wait(r.ctx, &protos.WaitRequest{Id: id}); return err },
		func() error { _, err := task.Delete(r.ctx, &protos.DeleteRequest{Id: id}); return err },
	} {
		if step() != nil {
			return
		}
	}
}

// `delete` of a task whose shim lives ends both, shim and container.
func TestDeleteWhileTheShimLives(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	deleted, err := launch.Delete(r.ctx, r.config)
	must(t, err)
	if deleted.GetExitStatus() != 137 {
		t.Errorf("delete says %d", deleted.GetExitStatus())
	}
	r.gone()
	if !slices.Contains(topics(r.event(protos.TopicDelete)), protos.TopicExit) {
		t.Error("no exit event")
	}
}

// Starts of the same task at the same time give one shim.
func TestStartsAtOnceGiveOneShim(t *testing.T) {
	r := newRig(t, nil, "true")
	var starts sync.WaitGroup
	var shims [5]*launch.Shim
	var errs [5]error
	for i := range shims {
		starts.Go(func() { shims[i], errs[i] = launch.Start(r.ctx, r.config) })
	}
	starts.Wait()
	pids := map[int]bool{}
	for i, shim := range shims {
		must(t, errs[i])
		p, err := shim.Process(r.ctx)
		must(t, err)
		pids[p.Pid] = true
		if i == 0 {
			r.shim, r.process = shim, p
			continue
		}
		must(t, p.Close())
		must(t, shim.Close())
	}
	if len(pids) != 1 || len(r.marked()) != 1 {
		t.Errorf("shims %v, processes %v", pids, r.marked())
	}
}

// A start that fails leaves no process and no socket.
func TestBadStartIsRefusedAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rig)
		word   string
	}{
		"no config.json":     {func(r *rig) { must(r.t, os.Remove(filepath.Join(r.config.Bundle, bundle.ConfigFile))) }, "config.json"},
		"broken config.json": {func(r *rig) { breakConfig(r, nil) }, "config.json"},
		"foreign options": {func(r *rig) {
			r.config.Legacy = true
			r.config.Options = pack(r.t, r.options)
			r.config.Options.TypeUrl = "example.com/Foreign"
		}, "example.com/Foreign"},
		"long socket directory": {func(r *rig) { r.config.SocketDir = filepath.Join(r.dir, strings.Repeat("x", 60)) }, "socket directory"},
		"no namespace":          {func(r *rig) { r.config.Namespace = "" }, "namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, "true")
			c.change(r)
			shim, err := launch.Start(r.ctx, r.config)
			if err == nil {
				r.shim = shim
				t.Fatal("start has succeeded")
			}
			if !strings.Contains(err.Error(), c.word) {
				t.Errorf("start says %q, not %q", err, c.word)
			}
			r.config.Namespace = namespace
			_ = os.Remove(filepath.Join(r.config.Bundle, bundle.SocketDirLink))
		})
	}
}

// Shutdown does not abandon a task: it is put off until the last Delete, which it then follows without being asked again.
func TestShutdownWithATaskIsPutOff(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	for range 2 {
		_, err := r.shim.Task.Shutdown(r.ctx, &protos.ShutdownRequest{Id: r.config.ID, Now: true})
		must(t, err)
	}
	if state := r.state(""); state.GetStatus() != protos.Status_RUNNING {
		t.Fatalf("the task is %v", state.GetStatus())
	}
	r.finish()
	r.gone()
}

// Events that happen while the manager is away arrive when it is back, in order and none twice.
func TestEventsWaitForTheManager(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "sleep 0.5; exit 3").start()
	r.run()
	r.exec("e", "", "true")
	told := r.event(protos.TopicExecStarted)
	seen := len(distinct(told))
	must(t, r.events.Close())
	for e := range r.events.C() {
		told = append(told, e)
	}
	away := time.Now()
	r.wait("e")
	r.delete("e")
	r.wait("")
	r.delete("")
	time.Sleep(time.Until(away.Add(3 * time.Second))) // the manager restarts
	var err error
	r.events, err = launch.Listen(r.config.TTRPCAddress)
	must(t, err)
	told = append(told, r.event(protos.TopicDelete)...)
	got := topics(distinct(told)[seen:])
	if want := []string{protos.TopicExit, protos.TopicExit, protos.TopicDelete}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// distinct leaves out an event that is told again: the acknowledgement of one may be lost with the connection.
func distinct(events []*protos.Envelope) (once []*protos.Envelope) {
	for _, e := range events {
		same := func(o *protos.Envelope) bool {
			return o.GetTopic() == e.GetTopic() && bytes.Equal(o.GetEvent().GetValue(), e.GetEvent().GetValue())
		}
		if !slices.ContainsFunc(once, same) {
			once = append(once, e)
		}
	}
	return once
}

func TestSIGUSR1WritesTheStacks(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	if dump := r.dump(); !strings.Contains(dump, "goroutine ") || !strings.Contains(dump, "awaitExit") {
		t.Errorf("the dump: %s", dump)
	}
	info, err := os.Stat(filepath.Join(r.config.Bundle, bundle.DumpFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the dump's mode: %v, %v", info.Mode(), err)
	}
	r.finish()
}

// The exit record is complete, and there before anybody is told.
func TestExitRecordPrecedesTheAnswer(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "kill -SEGV $$; sleep 1000").start()
	pid := r.run()
	r.kill("", unix.SIGSEGV, false) // as init of its namespace it is safe from itself
	r.kill("", unix.SIGKILL, false)
	status := r.wait("")
	data, err := os.ReadFile(filepath.Join(r.config.Bundle, bundle.ExitFile))
	must(t, err)
	var record bundle.Exit
	must(t, json.Unmarshal(data, &record))
	if record.Pid != pid || uint32(record.Status) != status || record.Signal == 0 || record.Status != 128+record.Signal {
		t.Errorf("the record %+v, status %d", record, status)
	}
	r.delete("")
}
