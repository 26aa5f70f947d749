package shim

import (
	"context"
	"fmt"
	"math"
	"os"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/protos"
)

func (s *service) Pause(ctx context.Context, r *protos.PauseRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	return empty, task.Pause(ctx)
}

func (s *service) Resume(ctx context.Context, r *protos.ResumeRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	return empty, task.Resume(ctx)
}

func (s *service) Update(ctx context.Context, r *protos.UpdateTaskRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	return empty, task.Update(ctx, r.Resources.GetValue())
}

// Checkpoint is not served: it takes a CRIU that works on the running kernel, and is not built before it can be tested.
func (s *service) Checkpoint(_ context.Context, r *protos.CheckpointTaskRequest) (*emptypb.Empty, error) {
	if _, err := s.tasks.get(r.Id); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("checkpoint task %s: %w", r.Id, errUnimplemented)
}

func (s *service) CloseIO(_ context.Context, r *protos.CloseIORequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	return empty, task.CloseIO(r.ExecId)
}

func (s *service) ResizePty(_ context.Context, r *protos.ResizePtyRequest) (*emptypb.Empty, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	if r.Width > math.MaxUint16 || r.Height > math.MaxUint16 {
		return nil, fmt.Errorf("resize terminal to %d columns, %d rows: %w", r.Width, r.Height, proc.ErrInvalid)
	}
	return empty, task.ResizePty(r.ExecId, uint16(r.Width), uint16(r.Height))
}

func (s *service) Stats(_ context.Context, r *protos.StatsRequest) (*protos.StatsResponse, error) {
	task, err := s.tasks.get(r.Id)
	if err != nil {
		return nil, err
	}
	typeName, metrics, err := task.Stats()
	if err != nil {
		return nil, err
	}
	return &protos.StatsResponse{Stats: &anypb.Any{TypeUrl: typeName, Value: metrics}}, nil
}

// Connect answers for any id: a daemon asks it of a shim that it has found, before it knows of a task.
func (s *service) Connect(_ context.Context, r *protos.ConnectRequest) (*protos.ConnectResponse, error) {
	out := &protos.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if task, err := s.tasks.get(r.Id); err == nil {
		out.TaskPid = uint32(task.Pid())
	}
	return out, nil
}

// Shutdown with a task still there is not refused but put off: this process leaves after the last Delete.
func (s *service) Shutdown(context.Context, *protos.ShutdownRequest) (*emptypb.Empty, error) {
	if s.tasks.mayLeave() {
		s.leave()
	}
	return empty, nil
}
