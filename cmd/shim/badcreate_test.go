package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// badCreate is a Create that cannot work: what is changed in a good one, and what is answered.
type badCreate struct {
	change func(*rig, *protos.CreateTaskRequest)
	code   codes.Code
	words  []string
}

func badCreates() map[string]badCreate {
	missing := "/nonexistent/wisp/fifo"
	return map[string]badCreate{
		"empty id":      {func(_ *rig, q *protos.CreateTaskRequest) { q.Id = "" }, codes.InvalidArgument, []string{"identifier must not be empty"}},
		"path-like id":  {func(_ *rig, q *protos.CreateTaskRequest) { q.Id = "../x" }, codes.InvalidArgument, []string{"../x"}},
		"absolute id":   {func(_ *rig, q *protos.CreateTaskRequest) { q.Id = "/etc" }, codes.InvalidArgument, []string{"/etc"}},
		"id with NUL":   {func(_ *rig, q *protos.CreateTaskRequest) { q.Id = "a\x00b" }, codes.InvalidArgument, []string{"identifier"}},
		"no bundle":     {func(_ *rig, q *protos.CreateTaskRequest) { q.Bundle = "" }, codes.InvalidArgument, []string{"bundle"}},
		"other bundle":  {func(r *rig, q *protos.CreateTaskRequest) { q.Bundle = r.dir }, codes.InvalidArgument, []string{"config.json"}},
		"broken config": {breakConfig, codes.InvalidArgument, []string{"config.json"}},
		"rootfs mount": {func(r *rig, q *protos.CreateTaskRequest) {
			q.Rootfs = []*protos.Mount{
				{Type: "bind", Source: binaries().rootfs, Options: []string{"rbind", "ro"}},
				{Type: "bind", Source: "/nonexistent/wisp/rootfs", Options: []string{"rbind"}},
			}
		}, codes.Unknown, []string{"failed to mount rootfs component", "/nonexistent/wisp/rootfs"}},
		"empty rootfs mount": {func(_ *rig, q *protos.CreateTaskRequest) { q.Rootfs = []*protos.Mount{{}} }, codes.Unknown, []string{"rootfs"}},
		"missing runc": {func(r *rig, q *protos.CreateTaskRequest) {
			r.options.BinaryName = "no-runc"
			q.Options = pack(r.t, r.options)
			r.options.BinaryName = ""
		}, codes.Unknown, []string{"no-runc"}},
		"missing command": {func(r *rig, _ *protos.CreateTaskRequest) {
			spec := *r.spec
			spec.Process.Args = []string{"no-such-command"}
			must(r.t, launch.WriteSpec(r.config.Bundle, &spec))
		}, codes.Unknown, []string{"no-such-command", "executable file not found"}},
		"missing stdin":  {func(_ *rig, q *protos.CreateTaskRequest) { q.Stdin = missing }, codes.InvalidArgument, []string{missing}},
		"missing stdout": {func(_ *rig, q *protos.CreateTaskRequest) { q.Stdout = missing }, codes.InvalidArgument, []string{missing}},
		"missing stderr": {func(_ *rig, q *protos.CreateTaskRequest) { q.Stderr = missing }, codes.InvalidArgument, []string{missing}},
		"unknown scheme": {func(_ *rig, q *protos.CreateTaskRequest) { q.Stdout = "gopher:///x" }, codes.InvalidArgument, []string{"gopher"}},
		"terminal with stderr": {func(r *rig, q *protos.CreateTaskRequest) { q.Terminal, q.Stderr = true, r.file("err") },
			codes.InvalidArgument, []string{"terminal", "stderr"}},
		"foreign options": {func(_ *rig, q *protos.CreateTaskRequest) {
			q.Options = &anypb.Any{TypeUrl: "example.com/Foreign", Value: []byte("x")}
		},
			codes.InvalidArgument, []string{"example.com/Foreign"}},
		"broken options": {func(_ *rig, q *protos.CreateTaskRequest) {
			q.Options = &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: []byte("\xff\xff")}
		}, codes.InvalidArgument, []string{"decode options"}},
		"checkpoint": {func(_ *rig, q *protos.CreateTaskRequest) { q.Checkpoint = "/x" }, codes.Unimplemented, []string{"checkpoint"}},
	}
}

// A Create that cannot work is refused with its own code and words, leaves nothing, and does not stand in the way of the next one.
func TestBadCreateIsRefusedAndLeavesNothing(t *testing.T) {
	for name, c := range badCreates() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, "true").start()
			_, err := r.create(func(q *protos.CreateTaskRequest) { c.change(r, q) })
			wantCode(t, "Create", err, c.code, c.words...)
			_, err = r.shim.Task.State(r.ctx, &protos.StateRequest{Id: r.config.ID})
			wantCode(t, "State", err, codes.NotFound)
			if left := append(r.cgroups(), r.mounts()...); len(left) > 0 {
				t.Errorf("left by the Create: %q", left)
			}
			must(t, launch.WriteSpec(r.config.Bundle, r.spec))
			r.run()
			if status := r.wait(""); status != 0 {
				t.Errorf("the Create after it: exit status %d", status)
			}
			r.delete("")
			for _, e := range r.event(protos.TopicDelete)[1:] {
				if e.GetTopic() == protos.TopicCreate {
					t.Error("the Create that failed has left an event")
				}
			}
		})
	}
}

func breakConfig(r *rig, _ *protos.CreateTaskRequest) {
	must(r.t, os.WriteFile(filepath.Join(r.config.Bundle, bundle.ConfigFile), []byte(`{"process": [`), 0o600))
}

// A second Create of an id is refused, in whatever state the first task is, and the first is untouched.
func TestDuplicateCreateLeavesTheFirstAlone(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	created, err := r.create(nil)
	must(t, err)
	for range 2 {
		_, err := r.create(nil)
		wantCode(t, "second Create", err, codes.AlreadyExists, r.config.ID)
		if state := r.state(""); state.GetStatus() != protos.Status_CREATED || state.GetPid() != created.GetPid() {
			t.Errorf("the first task is %v", state)
		}
	}
	_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: r.config.ID})
	must(t, err)
	_, err = r.create(func(q *protos.CreateTaskRequest) { q.Bundle = r.dir })
	wantCode(t, "second Create", err, codes.AlreadyExists, r.config.ID)
	if state := r.state(""); state.GetStatus() != protos.Status_RUNNING {
		t.Errorf("the first task is %v", state)
	}
	if output := string(r.runc("exec", r.config.ID, "echo", "lives")); output != "lives\n" {
		t.Errorf("the first task answers %q", output)
	}
	r.finish()
}

// A container that the runtime knows already, of another manager, is not touched by the undo of our Create.
func TestCreateOfAContainerThatTheRuntimeKnowsLeavesItAlone(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	spec := *r.spec
	spec.Linux.CgroupsPath += "-other"
	must(t, launch.WriteSpec(r.config.Bundle, &spec))
	r.runc("run", "--detach", "--bundle", r.config.Bundle, r.config.ID)
	must(t, launch.WriteSpec(r.config.Bundle, r.spec))
	_, err := r.create(nil)
	wantCode(t, "Create", err, codes.AlreadyExists)
	if output := string(r.runc("exec", r.config.ID, "echo", "lives")); output != "lives\n" {
		t.Errorf("the other container answers %q", output)
	}
	r.runc("delete", "--force", r.config.ID)
}

// An exec that cannot be started says why; its id is free again after Delete and init does not notice.
func TestBadExecIsRefusedAndLeavesNothing(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	id, good := r.config.ID, r.processSpec("true")
	for name, c := range map[string]struct {
		request *protos.ExecProcessRequest
		code    codes.Code
	}{
		"empty id":      {&protos.ExecProcessRequest{Id: id, Spec: good}, codes.InvalidArgument},
		"path-like id":  {&protos.ExecProcessRequest{Id: id, ExecId: "../../x", Spec: good}, codes.InvalidArgument},
		"no spec":       {&protos.ExecProcessRequest{Id: id, ExecId: "e"}, codes.InvalidArgument},
		"broken spec":   {&protos.ExecProcessRequest{Id: id, ExecId: "e", Spec: &anypb.Any{Value: []byte("{")}}, codes.InvalidArgument},
		"null spec":     {&protos.ExecProcessRequest{Id: id, ExecId: "e", Spec: &anypb.Any{Value: []byte("null")}}, codes.InvalidArgument},
		"unknown task":  {&protos.ExecProcessRequest{Id: "other", ExecId: "e", Spec: good}, codes.NotFound},
		"no such state": {&protos.ExecProcessRequest{ExecId: "e", Spec: good}, codes.NotFound},
	} {
		_, err := r.shim.Task.Exec(r.ctx, c.request)
		wantCode(t, "Exec with "+name, err, c.code)
	}
	for name, c := range map[string]struct {
		request *protos.ExecProcessRequest
		code    codes.Code
		word    string
	}{
		"missing command": {&protos.ExecProcessRequest{Spec: r.processSpec("no-such-command")}, codes.Unknown, "no-such-command"},
		"no command":      {&protos.ExecProcessRequest{Spec: r.processSpec()}, codes.Unknown, ""},
		"missing stdout":  {&protos.ExecProcessRequest{Spec: good, Stdout: "/nonexistent/wisp"}, codes.InvalidArgument, "/nonexistent/wisp"},
		"stderr of a terminal": {&protos.ExecProcessRequest{Spec: good, Terminal: true, Stderr: "/dev/null"},
			codes.InvalidArgument, "terminal"},
	} {
		c.request.Id, c.request.ExecId = id, "bad"
		_, err := r.shim.Task.Exec(r.ctx, c.request)
		must(t, err)
		_, err = r.shim.Task.Start(r.ctx, &protos.StartRequest{Id: id, ExecId: "bad"})
		wantCode(t, "Start of an exec with "+name, err, c.code, c.word)
		r.delete("bad")
	}
	r.exec("bad", "", "sleep", "1000")
	_, err := r.shim.Task.Exec(r.ctx, &protos.ExecProcessRequest{Id: id, ExecId: "bad", Spec: good})
	wantCode(t, "second Exec", err, codes.AlreadyExists, "bad")
	r.kill("bad", unix.SIGKILL, false)
	if status := r.wait("bad"); status != 137 {
		t.Errorf("exec after the bad ones: status %d", status)
	}
	r.delete("bad")
	r.finish()
}

// An exec may be named like a file of the bundle: `delete` and the runtime still find theirs.
func TestExecIdsDoNotMeetFilesOfTheBundle(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	pid := r.run()
	for _, id := range []string{"init", "log", "config", "options", "exit", "address", "s", "rootfs", "runtime", "bootstrap"} {
		r.exec(id, "", "true")
		r.wait(id)
		r.delete(id)
	}
	if found, err := bundle.ReadPid(filepath.Join(r.config.Bundle, bundle.InitPidFile)); err != nil || found != pid {
		t.Errorf("init.pid says %d (%v), want %d", found, err, pid)
	}
	r.finish()
}
