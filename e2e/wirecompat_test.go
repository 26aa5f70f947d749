package e2e

import (
	"testing"
	"time"

	"github.com/containerd/containerd/api/events"
	bootstrap "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	ttrpcevents "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wisp-shim/wisp/protos"
)

// pairs are our messages beside containerd's own.
var pairs = []struct{ ours, theirs proto.Message }{
	{&protos.CreateTaskRequest{}, &taskv3.CreateTaskRequest{}},
	{&protos.CreateTaskResponse{}, &taskv3.CreateTaskResponse{}},
	{&protos.StartRequest{}, &taskv3.StartRequest{}},
	{&protos.StartResponse{}, &taskv3.StartResponse{}},
	{&protos.DeleteRequest{}, &taskv3.DeleteRequest{}},
	{&protos.DeleteResponse{}, &taskv3.DeleteResponse{}},
	{&protos.ExecProcessRequest{}, &taskv3.ExecProcessRequest{}},
	{&protos.ResizePtyRequest{}, &taskv3.ResizePtyRequest{}},
	{&protos.StateRequest{}, &taskv3.StateRequest{}},
	{&protos.StateResponse{}, &taskv3.StateResponse{}},
	{&protos.KillRequest{}, &taskv3.KillRequest{}},
	{&protos.CloseIORequest{}, &taskv3.CloseIORequest{}},
	{&protos.PidsRequest{}, &taskv3.PidsRequest{}},
	{&protos.PidsResponse{}, &taskv3.PidsResponse{}},
	{&protos.CheckpointTaskRequest{}, &taskv3.CheckpointTaskRequest{}},
	{&protos.UpdateTaskRequest{}, &taskv3.UpdateTaskRequest{}},
	{&protos.WaitRequest{}, &taskv3.WaitRequest{}},
	{&protos.WaitResponse{}, &taskv3.WaitResponse{}},
	{&protos.StatsRequest{}, &taskv3.StatsRequest{}},
	{&protos.StatsResponse{}, &taskv3.StatsResponse{}},
	{&protos.ConnectRequest{}, &taskv3.ConnectRequest{}},
	{&protos.ConnectResponse{}, &taskv3.ConnectResponse{}},
	{&protos.ShutdownRequest{}, &taskv3.ShutdownRequest{}},
	{&protos.PauseRequest{}, &taskv3.PauseRequest{}},
	{&protos.ResumeRequest{}, &taskv3.ResumeRequest{}},
	{&protos.Mount{}, &types.Mount{}},
	{&protos.Envelope{}, &types.Envelope{}},
	{&protos.ForwardRequest{}, &ttrpcevents.ForwardRequest{}},
	{&protos.TaskIO{}, &events.TaskIO{}},
	{&protos.TaskCreate{}, &events.TaskCreate{}},
	{&protos.TaskStart{}, &events.TaskStart{}},
	{&protos.TaskDelete{}, &events.TaskDelete{}},
	{&protos.TaskExit{}, &events.TaskExit{}},
	{&protos.TaskOOM{}, &events.TaskOOM{}},
	{&protos.TaskExecAdded{}, &events.TaskExecAdded{}},
	{&protos.TaskExecStarted{}, &events.TaskExecStarted{}},
	{&protos.TaskPaused{}, &events.TaskPaused{}},
	{&protos.TaskResumed{}, &events.TaskResumed{}},
	{&protos.TaskCheckpointed{}, &events.TaskCheckpointed{}},
	{&protos.RuncOptions{}, &options.Options{}},
	{&protos.CheckpointOptions{}, &options.CheckpointOptions{}},
	{&protos.ProcessDetails{}, &options.ProcessDetails{}},
	{&protos.RuntimeOptions{}, &runtimeoptions.Options{}},
	{&protos.BootstrapParams{}, &bootstrap.BootstrapParams{}},
	{&protos.BootstrapResult{}, &bootstrap.BootstrapResult{}},
	{&protos.RuntimeInfo{}, &types.RuntimeInfo{}},
}

// A message of containerd's with every field set goes through ours and comes back the same: no field is lost, moved or of another type.
func TestMessagesAreContainerds(t *testing.T) {
	for _, p := range pairs {
		name := p.theirs.ProtoReflect().Descriptor().FullName()
		fill(p.theirs.ProtoReflect(), 3)
		sent, err := proto.Marshal(p.theirs)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := proto.Unmarshal(sent, p.ours); err != nil {
			t.Errorf("%s: ours does not read theirs: %v", name, err)
			continue
		}
		back, err := proto.Marshal(p.ours)
		if err != nil {
			t.Fatal(name, err)
		}
		got := p.theirs.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(back, got); err != nil {
			t.Errorf("%s: theirs does not read ours: %v", name, err)
			continue
		}
		if !proto.Equal(got, p.theirs) {
			t.Errorf("%s:\nsent %v\ngot  %v", name, p.theirs, got)
		}
	}
}

// fill sets every field, to a depth.
func fill(m protoreflect.Message, depth int) {
	switch v := m.Interface().(type) {
	case *anypb.Any:
		v.TypeUrl, v.Value = "some.Type", []byte{1, 2, 3}
		return
	case *timestamppb.Timestamp:
		*v = timestamppb.Timestamp{Seconds: time.Time{}.Unix(), Nanos: 7}
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString("v"))
		case f.IsList() && f.Message() != nil:
			if depth > 0 {
				fill(m.Mutable(f).List().AppendMutable().Message(), depth-1)
			}
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Message() != nil:
			if depth > 0 {
				fill(m.Mutable(f).Message(), depth-1)
			}
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text of " + string(f.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 1, 255})
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-5)
	default:
		return protoreflect.ValueOfUint32(1 << 31)
	}
}
