package main

import (
	"context"
	"maps"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// call asks one kind of request, with any id and exec id.
type call func(ctx context.Context, id, exec string) error

// calls are all requests that name a task; execs are the names of those that take an exec id.
func calls(task launch.Task, spec *anypb.Any) (all map[string]call, execs []string) {
	all = processCalls(task)
	execs = slices.Collect(maps.Keys(all))
	maps.Copy(all, taskCalls(task, spec))
	return all, execs
}

func processCalls(task launch.Task) map[string]call {
	signal := uint32(9)
	return map[string]call{
		"State": func(ctx context.Context, id, exec string) error {
			_, err := task.State(ctx, &protos.StateRequest{Id: id, ExecId: exec})
			return err
		},
		"Start": func(ctx context.Context, id, exec string) error {
			_, err := task.Start(ctx, &protos.StartRequest{Id: id, ExecId: exec})
			return err
		},
		"Delete": func(ctx context.Context, id, exec string) error {
			_, err := task.Delete(ctx, &protos.DeleteRequest{Id: id, ExecId: exec})
			return err
		},
		"Wait": func(ctx context.Context, id, exec string) error {
			_, err := task.Wait(ctx, &protos.WaitRequest{Id: id, ExecId: exec})
			return err
		},
		"Kill": func(ctx context.Context, id, exec string) error {
			_, err := task.Kill(ctx, &protos.KillRequest{Id: id, ExecId: exec, Signal: signal})
			return err
		},
		"Kill all": func(ctx context.Context, id, exec string) error {
			_, err := task.Kill(ctx, &protos.KillRequest{Id: id, ExecId: exec, Signal: signal, All: true})
			return err
		},
		"CloseIO": func(ctx context.Context, id, exec string) error {
			_, err := task.CloseIO(ctx, &protos.CloseIORequest{Id: id, ExecId: exec, Stdin: true})
			return err
		},
		"ResizePty": func(ctx context.Context, id, exec string) error {
			_, err := task.ResizePty(ctx, &protos.ResizePtyRequest{Id: id, ExecId: exec, Width: 80, Height: 25})
			return err
		},
	}
}

func taskCalls(task launch.Task, spec *anypb.Any) map[string]call {
	return map[string]call{
		"Exec": func(ctx context.Context, id, _ string) error {
			_, err := task.Exec(ctx, &protos.ExecProcessRequest{Id: id, ExecId: "e", Spec: spec})
			return err
		},
		"Pids": func(ctx context.Context, id, _ string) error {
			_, err := task.Pids(ctx, &protos.PidsRequest{Id: id})
			return err
		},
		"Pause": func(ctx context.Context, id, _ string) error {
			_, err := task.Pause(ctx, &protos.PauseRequest{Id: id})
			return err
		},
		"Resume": func(ctx context.Context, id, _ string) error {
			_, err := task.Resume(ctx, &protos.ResumeRequest{Id: id})
			return err
		},
		"Update": func(ctx context.Context, id, _ string) error {
			_, err := task.Update(ctx, &protos.UpdateTaskRequest{Id: id, Resources: &anypb.Any{Value: []byte("{}")}})
			return err
		},
		"Checkpoint": func(ctx context.Context, id, _ string) error {
			_, err := task.Checkpoint(ctx, &protos.CheckpointTaskRequest{Id: id})
			return err
		},
		"Stats": func(ctx context.Context, id, _ string) error {
			_, err := task.Stats(ctx, &protos.StatsRequest{Id: id})
			return err
		},
	}
}

// Every request for a task or exec that is not there says so, before there is a task, while there is one and after it is deleted.
func TestUnknownIdsAreNotFound(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	all, execs := calls(r.shim.Task, r.processSpec("true"))
	ask := func(when string, ids ...string) {
		for name, call := range all {
			for _, id := range ids {
				wantCode(t, name+" of task "+id+" "+when, call(r.ctx, id, ""), codes.NotFound, "container not created")
			}
		}
	}
	ask("before Create", r.config.ID, "other", "", "../x", "a\x00b")
	pid := r.run()
	ask("beside a task", "other", "", "../x", r.config.ID+"x", r.config.ID+"\x00")
	for _, name := range execs {
		for _, exec := range []string{"other", "../x", "\x00"} {
			wantCode(t, name+" of an unknown exec", all[name](r.ctx, r.config.ID, exec), codes.NotFound, "process does not exist")
		}
	}
	if state := r.state(""); state.GetStatus() != protos.Status_RUNNING || int(state.GetPid()) != pid {
		t.Errorf("the task is %v", state)
	}
	r.finish()
	delete(all, "Delete") // it answers again
	ask("after Delete", r.config.ID)
	for _, id := range []string{"", "other"} {
		connected, err := r.shim.Task.Connect(r.ctx, &protos.ConnectRequest{Id: id})
		if err != nil || int(connected.GetShimPid()) != r.process.Pid || connected.GetTaskPid() != 0 {
			t.Errorf("Connect of %q: %v, %v", id, connected, err)
		}
	}
}

// What a state does not allow is a failed precondition, and changes nothing.
func TestRequestsOutOfTurnAreRefused(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	all, _ := calls(r.shim.Task, r.processSpec("true"))
	_, err := r.create(nil)
	must(t, err)
	for _, name := range []string{"Pause", "Resume"} {
		wantCode(t, name+" of a created task", all[name](r.ctx, r.config.ID, ""), codes.FailedPrecondition, "created")
	}
	_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
	must(t, err)
	for _, name := range []string{"Start", "Resume", "Delete"} {
		wantCode(t, name+" of a running task", all[name](r.ctx, r.config.ID, ""), codes.FailedPrecondition, "running")
	}
	_, err = r.shim.Task.Kill(r.ctx, &protos.KillRequest{Id: r.config.ID, Signal: 65})
	wantCode(t, "Kill with signal 65", err, codes.InvalidArgument, "65")
	_, err = r.shim.Task.Kill(r.ctx, &protos.KillRequest{Id: r.config.ID, Signal: 1<<32 - 1})
	wantCode(t, "Kill with signal 2^32-1", err, codes.InvalidArgument)
	_, err = r.shim.Task.ResizePty(r.ctx, &protos.ResizePtyRequest{Id: r.config.ID, Width: 1 << 16})
	wantCode(t, "ResizePty to 65536 columns", err, codes.InvalidArgument)
	r.kill("", 9, false)
	r.wait("")
	for _, name := range []string{"Start", "Pause", "Resume", "Exec", "Pids", "Update"} {
		wantCode(t, name+" of a stopped task", all[name](r.ctx, r.config.ID, ""), codes.FailedPrecondition, "stopped")
	}
	wantCode(t, "Kill of a stopped task", all["Kill"](r.ctx, r.config.ID, ""), codes.NotFound, "process already finished")
	first := r.delete("")
	for range 3 {
		if again := r.delete(""); !sameEnd(again, first) {
			t.Errorf("Delete says %v, then %v", first, again)
		}
	}
}

// sameEnd tells whether two Deletes say the same.
func sameEnd(a, b *protos.DeleteResponse) bool {
	return a.GetPid() == b.GetPid() && a.GetExitStatus() == b.GetExitStatus() && a.GetExitedAt().AsTime().Equal(b.GetExitedAt().AsTime())
}
