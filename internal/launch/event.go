package launch

import (
	"fmt"

	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/proto"
)

// DecodeEvent gives the message in an envelope: one of protos' task events, found by the name that the shim gave it.
func DecodeEvent(envelope *protos.Envelope) (proto.Message, error) {
	event := envelope.GetEvent()
	message := newEvent(event.GetTypeUrl())
	if message == nil {
		return nil, fmt.Errorf("decode event: unknown type %q", event.GetTypeUrl())
	}
	if err := proto.Unmarshal(event.GetValue(), message); err != nil {
		return nil, fmt.Errorf("decode event %s: %w", event.GetTypeUrl(), err)
	}
	return message, nil
}

// newEvent makes an empty message of a type, or nil.
func newEvent(name string) proto.Message {
	switch name {
	case protos.TypeTaskCreate:
		return new(protos.TaskCreate)
	case protos.TypeTaskStart:
		return new(protos.TaskStart)
	case protos.TypeTaskDelete:
		return new(protos.TaskDelete)
	case protos.TypeTaskExit:
		return new(protos.TaskExit)
	case protos.TypeTaskOOM:
		return new(protos.TaskOOM)
	case protos.TypeTaskExecAdded:
		return new(protos.TaskExecAdded)
	case protos.TypeTaskExecStarted:
		return new(protos.TaskExecStarted)
	case protos.TypeTaskPaused:
		return new(protos.TaskPaused)
	case protos.TypeTaskResumed:
		return new(protos.TaskResumed)
	case protos.TypeTaskCheckpointed:
		return new(protos.TaskCheckpointed)
	}
	return nil
}
