package proc

import (
	"context"
	"fmt"
	"time"
)

// Pause freezes the container through its cgroup; the runtime, asked afterwards, says "paused". State says pausing meanwhile.
func (t *Task) Pause(ctx context.Context) error {
	return t.freezer(ctx, VerbPause, EventPaused)
}

// Resume thaws what Pause froze.
func (t *Task) Resume(ctx context.Context) error {
	return t.freezer(ctx, VerbResume, EventResumed)
}

func (t *Task) freezer(ctx context.Context, v Verb, told EventKind) error {
	if t.cgroup == nil {
		return fmt.Errorf("%s task %s: it has no cgroup to freeze: %w", v, t.id, ErrPrecondition)
	}
	from, err := t.init.check(ctx, v)
	if err != nil {
		return err
	}
	work, cancel := context.WithTimeout(runtimeContext(ctx), freezeMax)
	defer cancel()
	switch v {
	case VerbPause:
		err = t.cgroup.Freeze(work)
	default:
		err = t.cgroup.Thaw(work)
	}
	if err != nil {
		err = fmt.Errorf("OCI runtime %s failed: %w", v, err)
	}
	t.init.land(v, from, err, func() { t.emitLocked(Event{Kind: told, At: time.Now()}) })
	return err
}

// Update changes the container's limits. resources is OCI LinuxResources as JSON.
func (t *Task) Update(ctx context.Context, resources []byte) error {
	if len(resources) == 0 {
		return fmt.Errorf("update task %s: no resources: %w", t.id, ErrInvalid)
	}
	if _, err := t.init.check(ctx, VerbUpdate); err != nil {
		return err
	}
	return t.cfg.Runtime.Update(runtimeContext(ctx), t.id, resources)
}
