package shim

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wisp-shim/wisp/internal/mount"
	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/protos"
)

// timestamp is t on the wire. A zero time goes as Go's zero time: with the field left out, a daemon would read 1970 and take it for an exit.
func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func mountsFromWire(in []*protos.Mount) []mount.Mount {
	out := make([]mount.Mount, len(in))
	for i, m := range in {
		out[i] = mount.Mount{Type: m.GetType(), Source: m.GetSource(), Target: m.GetTarget(), Options: m.GetOptions()}
	}
	return out
}

func mountsToWire(in []mount.Mount) []*protos.Mount {
	out := make([]*protos.Mount, len(in))
	for i, m := range in {
		out[i] = &protos.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options}
	}
	return out
}

func stateToWire(id string, r proc.Report) *protos.StateResponse {
	return &protos.StateResponse{
		Id: id, Bundle: r.Bundle, Pid: uint32(r.Pid), Status: protos.Status(r.Status),
		Stdin: r.Stdio.Stdin, Stdout: r.Stdio.Stdout, Stderr: r.Stdio.Stderr, Terminal: r.Stdio.Terminal,
		ExitStatus: uint32(r.Exit.Status), ExitedAt: timestamp(r.Exit.At),
	}
}

func deleteToWire(e proc.Exited) *protos.DeleteResponse {
	return &protos.DeleteResponse{Pid: uint32(e.Pid), ExitStatus: uint32(e.Status), ExitedAt: timestamp(e.At)}
}

func pidsToWire(members []proc.Member) (*protos.PidsResponse, error) {
	out := &protos.PidsResponse{Processes: make([]*protos.ProcessInfo, len(members))}
	for i, m := range members {
		info := &protos.ProcessInfo{Pid: uint32(m.Pid)}
		if m.Exec != "" {
			value, err := proto.Marshal(&protos.ProcessDetails{ExecId: m.Exec})
			if err != nil {
				return nil, err
			}
			info.Info = &anypb.Any{TypeUrl: protos.TypeProcessDetails, Value: value}
		}
		out.Processes[i] = info
	}
	return out, nil
}

// eventToWire gives an event its topic, type name and message.
func eventToWire(e proc.Event) (topic, typeName string, m proto.Message) {
	switch e.Kind {
	case proc.EventCreate:
		return protos.TopicCreate, protos.TypeTaskCreate, createdToWire(e)
	case proc.EventStart:
		return protos.TopicStart, protos.TypeTaskStart, &protos.TaskStart{ContainerId: e.Task, Pid: uint32(e.Pid)}
	case proc.EventExit:
		return protos.TopicExit, protos.TypeTaskExit, exitToWire(e)
	case proc.EventDelete:
		return protos.TopicDelete, protos.TypeTaskDelete, &protos.TaskDelete{
			ContainerId: e.Task, Pid: uint32(e.Pid), ExitStatus: uint32(e.Exit.Status), ExitedAt: timestamp(e.Exit.At),
		}
	case proc.EventOOM:
		return protos.TopicOOM, protos.TypeTaskOOM, &protos.TaskOOM{ContainerId: e.Task}
	case proc.EventExecAdded:
		return protos.TopicExecAdded, protos.TypeTaskExecAdded, &protos.TaskExecAdded{ContainerId: e.Task, ExecId: e.Exec}
	case proc.EventExecStarted:
		return protos.TopicExecStarted, protos.TypeTaskExecStarted, &protos.TaskExecStarted{
			ContainerId: e.Task, ExecId: e.Exec, Pid: uint32(e.Pid),
		}
	case proc.EventPaused:
		return protos.TopicPaused, protos.TypeTaskPaused, &protos.TaskPaused{ContainerId: e.Task}
	default:
		return protos.TopicResumed, protos.TypeTaskResumed, &protos.TaskResumed{ContainerId: e.Task}
	}
}

func createdToWire(e proc.Event) proto.Message {
	return &protos.TaskCreate{
		ContainerId: e.Task, Bundle: e.Bundle, Rootfs: mountsToWire(e.Rootfs), Pid: uint32(e.Pid),
		Io: &protos.TaskIO{Stdin: e.Stdio.Stdin, Stdout: e.Stdio.Stdout, Stderr: e.Stdio.Stderr, Terminal: e.Stdio.Terminal},
	}
}

// exitToWire names the container itself where init ended.
func exitToWire(e proc.Event) proto.Message {
	id := e.Exec
	if id == "" {
		id = e.Task
	}
	return &protos.TaskExit{
		ContainerId: e.Task, Id: id, Pid: uint32(e.Pid), ExitStatus: uint32(e.Exit.Status), ExitedAt: timestamp(e.Exit.At),
	}
}
