package proc

import (
	"context"
	"sync"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/cgroup"
	"github.com/wisp-shim/wisp/internal/mount"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
)

// Durations of this package.
const (
	// holdMax bounds how long init's exit is held back for execs that are still there: the kernel has killed them already where init had a
	// pid namespace of its own, and we have where not; what survives that hangs in the kernel (docs/decisions/0007).
	holdMax = 10 * time.Second
	// killMax bounds the wait for the death of a process that got a SIGKILL, before Delete of a created task gives up.
	killMax = 10 * time.Second
	// umountMax bounds the removal of a root file system: an overlay with much dirty data takes half a minute (field report F19).
	umountMax = 2 * time.Minute
	// freezeMax bounds Pause and Resume. A process in uninterruptible sleep delays the freezer.
	freezeMax = 10 * time.Second
)

// Config is what a task is made from. All of it is borrowed for the task's life.
type Config struct {
	ID, Namespace string
	Bundle        bundle.Dir
	Spec          *bundle.Spec  // of the bundle, if it has been read before
	Rootfs        []mount.Mount // mounted by us on the bundle's rootfs, in this order; empty: the bundle's owner has done it
	Stdio         Stdio
	Options       bundle.Options
	Runtime       *runc.Runtime
	Reaper        *reaper.Reaper
	Emit          func(Event)                 // takes each event in order; called under the task's lock, so it must not block or call back
	Log           func(msg string, kv ...any) // what is worth a line but fails no request
}

// Task is a container with its init and execs. Create makes one.
type Task struct {
	id     string
	cfg    Config
	init   *process
	shared bool // init has no pid namespace of its own: what it leaves must be killed
	cgroup *cgroup.Cgroup

	namesScore bool // the spec names an OOM score: the runtime sets it

	work sync.WaitGroup // the goroutines of this task: exits and the OOM watch
	oom  *cgroup.OOMWatch

	mu sync.Mutex
	// mu guards the fields of every process, and:
	execs    map[string]*process
	initDead bool          // init is reaped: no exec may start
	live     int           // execs that run or are being started
	noneLive chan struct{} // closed and set to nil when live falls to 0; nil when nobody waits
	oomSeen  uint64        // OOM kills that have been told
	buried   graves        // answers of execs that were deleted
}

// ID is the container's id.
func (t *Task) ID() string { return t.id }

// Bundle is the directory the task was made from.
func (t *Task) Bundle() bundle.Dir { return t.cfg.Bundle }

// emitLocked stamps e as this task's and hands it on.
func (t *Task) emitLocked(e Event) {
	e.Task = t.id
	if t.cfg.Emit != nil {
		t.cfg.Emit(e)
	}
}

func (t *Task) warn(msg string, kv ...any) {
	if t.cfg.Log != nil {
		t.cfg.Log(msg, append([]any{"task", t.id}, kv...)...)
	}
}

// process finds init ("") or an exec.
func (t *Task) process(id string) (*process, error) {
	if id == "" {
		return t.init, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.execs[id]; p != nil {
		return p, nil
	}
	return nil, errNoExec(id)
}

// runtimeContext is the context for work that a request began: the work is finished even if the caller leaves, for half of it helps nobody. The
// driver's own budgets bound it.
func runtimeContext(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
