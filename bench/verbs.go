package main

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/protos"
)

// idle is what a container runs that is only there.
var idle = []string{"/bin/sleep", "100000"}

// each brings up one idle task under every contender, calls f on each in turns, and takes them down.
func (l *lab) each(ctx context.Context, rounds int, f func(context.Context, *box) error) (err error) {
	var boxes []*box
	defer func() {
		for _, b := range boxes {
			if derr := b.down(context.WithoutCancel(ctx)); derr != nil && err == nil {
				err = derr
			}
		}
	}()
	for _, c := range l.contenders {
		b, err := l.newBox(c, false, idle...)
		if err != nil {
			return err
		}
		boxes = append(boxes, b)
		if err := b.up(ctx); err != nil {
			return err
		}
	}
	for round := range rounds {
		for i := range boxes {
			if err := f(ctx, boxes[(round+i)%len(boxes)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchVerbs times what needs no runtime in our shim.
func benchVerbs(ctx context.Context, l *lab) error {
	return l.each(ctx, l.rounds, func(ctx context.Context, b *box) error {
		t := b.shim.Task
		calls := []struct {
			figure string
			n      int
			call   func() error
		}{
			{"State", 50, func() error { _, err := t.State(ctx, &protos.StateRequest{Id: b.id}); return err }},
			{"Stats", 20, func() error { _, err := t.Stats(ctx, &protos.StatsRequest{Id: b.id}); return err }},
			{"Pids", 3, func() error { _, err := t.Pids(ctx, &protos.PidsRequest{Id: b.id}); return err }},
			{"Kill", 3, func() error { _, err := t.Kill(ctx, &protos.KillRequest{Id: b.id, Signal: 28}); return err }},
			{"Pause + Resume", 2, func() error {
				if _, err := t.Pause(ctx, &protos.PauseRequest{Id: b.id}); err != nil {
					return err
				}
				_, err := t.Resume(ctx, &protos.ResumeRequest{Id: b.id})
				return err
			}},
		}
		for _, c := range calls {
			for range c.n {
				w := l.watch(b.c.name)
				if err := c.call(); err != nil {
					return fmt.Errorf("%s: %s: %w", b.c.name, c.figure, err)
				}
				w.lap(c.figure)
			}
		}
		return nil
	})
}

// execSpec is an OCI process that runs /bin/true.
const execSpec = `{"args":["/bin/true"],"cwd":"/","env":["PATH=/bin"],"user":{"uid":0,"gid":0}}`

// execTrue adds, starts, awaits and deletes an exec of /bin/true.
func (b *box) execTrue(ctx context.Context, id string) error {
	t := b.shim.Task
	if _, err := t.Exec(ctx, &protos.ExecProcessRequest{Id: b.id, ExecId: id, Spec: &anypb.Any{Value: []byte(execSpec)}}); err != nil {
		return fmt.Errorf("%s: exec: %w", b.c.name, err)
	}
	if _, err := t.Start(ctx, &protos.StartRequest{Id: b.id, ExecId: id}); err != nil {
		return fmt.Errorf("%s: start exec: %w", b.c.name, err)
	}
	if _, err := t.Wait(ctx, &protos.WaitRequest{Id: b.id, ExecId: id}); err != nil {
		return fmt.Errorf("%s: wait for exec: %w", b.c.name, err)
	}
	if _, err := t.Delete(ctx, &protos.DeleteRequest{Id: b.id, ExecId: id}); err != nil {
		return fmt.Errorf("%s: delete exec: %w", b.c.name, err)
	}
	return nil
}

// parallel is how many execs run at once.
const parallel = 40

func (b *box) execMany(ctx context.Context, prefix string) error {
	errs := make(chan error, parallel)
	for i := range parallel {
		go func() { errs <- b.execTrue(ctx, fmt.Sprintf("%s%d", prefix, i)) }()
	}
	var first error
	for range parallel {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// benchExec times execs one by one and forty at once, raw runc's in the same round.
func benchExec(ctx context.Context, l *lab) error {
	floor, err := l.newRawTask(ctx)
	if err != nil {
		return err
	}
	defer floor.down(context.WithoutCancel(ctx))
	round := 0
	return l.each(ctx, l.rounds, func(ctx context.Context, b *box) error {
		round++
		if round%len(l.contenders) == 0 {
			if err := floor.execs(ctx); err != nil {
				return err
			}
		}
		for i := range 4 {
			w := l.watch(b.c.name)
			if err := b.execTrue(ctx, fmt.Sprintf("e%d-%d", round, i)); err != nil {
				return err
			}
			w.lap("exec")
		}
		if round > 5*len(l.contenders) {
			return nil
		}
		w := l.watch(b.c.name)
		if err := b.execMany(ctx, fmt.Sprintf("m%d-", round)); err != nil {
			return err
		}
		w.lap("40 execs at once")
		return nil
	})
}

// rawTask is a container under runc alone.
type rawTask struct {
	l *lab
	b *box
	n int
}

func (l *lab) newRawTask(ctx context.Context) (*rawTask, error) {
	b, err := l.newBox(contender{name: rawName}, false, idle...)
	if err != nil {
		return nil, err
	}
	if err := l.raw(ctx, "create", "--bundle", b.dir, b.id); err != nil {
		return nil, err
	}
	return &rawTask{l: l, b: b}, l.raw(ctx, "start", b.id)
}

func (r *rawTask) exec(ctx context.Context) error {
	return r.l.raw(ctx, "exec", "--detach", r.b.id, "/bin/true")
}

func (r *rawTask) execs(ctx context.Context) error {
	for range 4 {
		w := r.l.watch(rawName)
		if err := r.exec(ctx); err != nil {
			return err
		}
		w.lap("exec")
	}
	if r.n++; r.n > 5 {
		return nil
	}
	w := r.l.watch(rawName)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() { _ = r.exec(ctx) })
	}
	wg.Wait()
	w.lap("40 execs at once")
	return nil
}

func (r *rawTask) down(ctx context.Context) {
	_ = r.l.raw(ctx, "delete", "--force", r.b.id)
	_ = r.b.clear()
}
