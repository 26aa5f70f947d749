// Package protos holds the messages and ttrpc services that a shim and its manager speak, wire-compatible with containerd's.
//
// It owns the .proto files, the code generated from them and the names that travel in an Any. It knows nothing else of wisp; the shim,
// the manager library and the client import it. It links no grpc server and registers nothing under a containerd name, so that a program
// may link it beside containerd's own api (docs/decisions/0003).
package protos

import (
	"strings"

	"google.golang.org/protobuf/types/known/anypb"
)

// Type names of messages that travel in an Any, as containerd spells them.
const (
	TypeRuncOptions       = "containerd.runc.v1.Options"
	TypeCheckpointOptions = "containerd.runc.v1.CheckpointOptions"
	TypeProcessDetails    = "containerd.runc.v1.ProcessDetails"
	TypeRuntimeOptions    = "runtimeoptions.v1.Options"
	TypeFeatures          = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
	TypeMetricsV1         = "io.containerd.cgroups.v1.Metrics"
	TypeMetricsV2         = "io.containerd.cgroups.v2.Metrics"

	TypeTaskCreate       = "containerd.events.TaskCreate"
	TypeTaskStart        = "containerd.events.TaskStart"
	TypeTaskDelete       = "containerd.events.TaskDelete"
	TypeTaskExit         = "containerd.events.TaskExit"
	TypeTaskOOM          = "containerd.events.TaskOOM"
	TypeTaskExecAdded    = "containerd.events.TaskExecAdded"
	TypeTaskExecStarted  = "containerd.events.TaskExecStarted"
	TypeTaskPaused       = "containerd.events.TaskPaused"
	TypeTaskResumed      = "containerd.events.TaskResumed"
	TypeTaskCheckpointed = "containerd.events.TaskCheckpointed"
)

// Topics of the task events.
const (
	TopicCreate       = "/tasks/create"
	TopicStart        = "/tasks/start"
	TopicExit         = "/tasks/exit"
	TopicDelete       = "/tasks/delete"
	TopicOOM          = "/tasks/oom"
	TopicExecAdded    = "/tasks/exec-added"
	TopicExecStarted  = "/tasks/exec-started"
	TopicPaused       = "/tasks/paused"
	TopicResumed      = "/tasks/resumed"
	TopicCheckpointed = "/tasks/checkpointed"
)

// NamespaceKey is the ttrpc metadata key under which a caller's namespace travels.
const NamespaceKey = "containerd-namespace-ttrpc"

// Is tells whether a holds a message of the named type. The name may stand after a prefix, as in "type.googleapis.com/NAME".
func Is(a *anypb.Any, name string) bool {
	url := a.GetTypeUrl()
	return url == name || strings.HasSuffix(url, "/"+name)
}
