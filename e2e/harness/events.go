package harness

import (
	"time"

	apievents "github.com/containerd/containerd/api/events"
)

// An Event is a task event, in the words that the tests compare.
type Event struct {
	Name      string // "create", "start", "exec-added", "exit" ...
	Container string
	Exec      string // empty for the task's own
	Pid       uint32
	Status    uint32
	At        time.Time // the envelope's
	ExitedAt  time.Time
}

// fill takes from a decoded event what the tests compare.
func (e *Event) fill(value any) {
	switch v := value.(type) {
	case *apievents.TaskCreate:
		e.Container, e.Pid = v.ContainerID, v.Pid
	case *apievents.TaskStart:
		e.Container, e.Pid = v.ContainerID, v.Pid
	case *apievents.TaskDelete:
		e.Container, e.Pid, e.Status, e.ExitedAt = v.ContainerID, v.Pid, v.ExitStatus, v.ExitedAt.AsTime()
	case *apievents.TaskExit:
		e.Container, e.Pid, e.Status, e.ExitedAt = v.ContainerID, v.Pid, v.ExitStatus, v.ExitedAt.AsTime()
		if v.ID != v.ContainerID {
			e.Exec = v.ID
		}
	case *apievents.TaskExecAdded:
		e.Container, e.Exec = v.ContainerID, v.ExecID
	case *apievents.TaskExecStarted:
		e.Container, e.Exec, e.Pid = v.ContainerID, v.ExecID, v.Pid
	case *apievents.TaskOOM:
		e.Container = v.ContainerID
	case *apievents.TaskPaused:
		e.Container = v.ContainerID
	case *apievents.TaskResumed:
		e.Container = v.ContainerID
	}
}
