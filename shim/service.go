package shim

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/protos"
	"github.com/wisp-shim/wisp/reaper"
)

// service answers containerd's task service, versions 2 and 3: it turns requests into plain values, asks package proc, and turns what it says into
// messages. It holds no state of a task's own.
type service struct {
	namespace string
	bundle    bundle.Dir   // the one the shim was started for
	spec      *bundle.Spec // what start has read there; nil without start
	tasks     *tasks
	reaper    *reaper.Reaper
	log       *Logger
	emit      func(proc.Event)
	leave     func() // begins the shutdown of this process; returns at once
}

var (
	_ protos.V2TaskService = (*service)(nil)
	_ protos.V3TaskService = (*service)(nil)
)

var empty = &emptypb.Empty{}

func (s *service) Create(ctx context.Context, r *protos.CreateTaskRequest) (*protos.CreateTaskResponse, error) {
	cfg, err := s.taskConfig(r)
	if err != nil {
		return nil, err
	}
	if err := s.tasks.reserve(r.Id); err != nil {
		return nil, err
	}
	task, err := proc.Create(ctx, cfg)
	s.tasks.settle(r.Id, task)
	if err != nil {
		return nil, err
	}
	return &protos.CreateTaskResponse{Pid: uint32(task.Pid())}, nil
}

// taskConfig checks a Create request and converts it.
func (s *service) taskConfig(r *protos.CreateTaskRequest) (proc.Config, error) {
	if err := bundle.ValidateID(r.Id); err != nil {
		return proc.Config{}, err
	}
	if !filepath.IsAbs(r.Bundle) {
		return proc.Config{}, fmt.Errorf("create task %s: bundle %q is not an absolute path: %w", r.Id, r.Bundle, proc.ErrInvalid)
	}
	if r.Checkpoint != "" {
		return proc.Config{}, fmt.Errorf("create task %s from a checkpoint: %w", r.Id, errUnimplemented)
	}
	opts, err := decodeOptions(r.Options)
	if err != nil {
		return proc.Config{}, fmt.Errorf("create task %s: %w: %w", r.Id, err, proc.ErrInvalid)
	}
	dir := bundle.Dir(filepath.Clean(r.Bundle))
	var spec *bundle.Spec
	if dir == s.bundle {
		spec = s.spec
	}
	return proc.Config{
		ID: r.Id, Namespace: s.namespace, Bundle: dir, Spec: spec,
		Rootfs:  mountsFromWire(r.Rootfs),
		Stdio:   proc.Stdio{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
		Options: opts,
		Runtime: newRuntime(dir, s.namespace, opts, s.reaper),
		Reaper:  s.reaper, Emit: s.emit, Log: s.log.Warn,
	}, nil
}

func (s *service) Start(ctx context.Context, r *protos.StartRequest) (*protos.StartResponse, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	pid, err := task.Start(ctx, r.ExecId)
	if err != nil {
		return nil, err
	}
	return &protos.StartResponse{Pid: uint32(pid)}, nil
}

// Delete of a task that was deleted answers the same again, until this process leaves.
func (s *service) Delete(ctx context.Context, r *protos.DeleteRequest) (*protos.DeleteResponse, error) {
	if e, ok := s.tasks.buried(r.Id); ok && r.ExecId == "" {
		return deleteToWire(e), nil
	}
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	e, err := task.Delete(ctx, r.ExecId)
	if err != nil {
		return nil, err
	}
	if r.ExecId == "" && s.tasks.bury(r.Id, e) {
		s.leave()
	}
	return deleteToWire(e), nil
}

func (s *service) Exec(ctx context.Context, r *protos.ExecProcessRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	if err := bundle.ValidateID(r.ExecId); err != nil {
		return nil, fmt.Errorf("exec id: %w", err)
	}
	stdio := proc.Stdio{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal}
	return empty, task.Exec(ctx, r.ExecId, stdio, r.Spec.GetValue())
}

func (s *service) State(_ context.Context, r *protos.StateRequest) (*protos.StateResponse, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	report, err := task.State(r.ExecId)
	if err != nil {
		return nil, err
	}
	id := r.Id
	if r.ExecId != "" {
		id = r.ExecId
	}
	return stateToWire(id, report), nil
}

func (s *service) Wait(ctx context.Context, r *protos.WaitRequest) (*protos.WaitResponse, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	e, err := task.Wait(ctx, r.ExecId)
	if err != nil {
		return nil, err
	}
	return &protos.WaitResponse{ExitStatus: uint32(e.Status), ExitedAt: timestamp(e.At)}, nil
}

func (s *service) Kill(ctx context.Context, r *protos.KillRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	return empty, task.Kill(ctx, r.ExecId, syscall.Signal(r.Signal), r.All)
}

func (s *service) Pids(ctx context.Context, r *protos.PidsRequest) (*protos.PidsResponse, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	members, err := task.Pids(ctx)
	if err != nil {
		return nil, err
	}
	return pidsToWire(members)
}
