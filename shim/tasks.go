package shim

import (
	"fmt"
	"sync"

	"github.com/wisp-shim/wisp/proc"
)

// tasks is what this shim knows by id. It is keyed although one shim serves one task (docs/decisions/0002): a peer that asks for another id must hear
// that there is no such task.
type tasks struct {
	mu sync.Mutex
	// mu guards:
	live     map[string]*proc.Task  // nil while its Create is under way
	deleted  map[string]proc.Exited // what Delete answered, to answer it again
	shutdown bool                   // asked for while a task was there: it is due after the last Delete
}

func newTasks() *tasks {
	return &tasks{live: map[string]*proc.Task{}, deleted: map[string]proc.Exited{}}
}

// errNoTask has the words that peers match.
func errNoTask() error { return fmt.Errorf("container not created: %w", proc.ErrNotFound) }

func (t *tasks) get(id string) (*proc.Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task := t.live[id]; task != nil {
		return task, nil
	}
	return nil, errNoTask()
}

// reserve takes id for a Create. The caller ends it with settle.
func (t *tasks) reserve(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.live[id]; taken {
		return fmt.Errorf("create task %s: id: %w", id, proc.ErrExists)
	}
	t.live[id] = nil
	return nil
}

// settle ends a reservation: with the task, or without one when Create failed.
func (t *tasks) settle(id string, task *proc.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task == nil {
		delete(t.live, id)
		return
	}
	t.live[id] = task
	delete(t.deleted, id)
}

// bury records what Delete answered for a task, and tells whether a Shutdown that was refused before is due now.
func (t *tasks) bury(id string, e proc.Exited) (shutdownDue bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, id)
	t.deleted[id] = e
	return t.shutdown && len(t.live) == 0
}

func (t *tasks) buried(id string) (proc.Exited, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.deleted[id]
	return e, ok
}

// mayLeave tells whether no task is left. If one is, the wish is remembered.
func (t *tasks) mayLeave() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shutdown = len(t.live) > 0
	return !t.shutdown
}

// none tells whether there is no task, not even one being created.
func (t *tasks) none() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.live) == 0
}

func (t *tasks) all() []*proc.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*proc.Task
	for _, task := range t.live {
		if task != nil {
			all = append(all, task)
		}
	}
	return all
}
