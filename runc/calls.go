package runc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// Create makes a container whose init waits to be started. After an error of kind
// ErrTimeout, or of a ctx that ended, the runtime and what it had started is dead,
// but its state and cgroup may be left: the caller then calls Delete with force.
func (r *Runtime) Create(ctx context.Context, id string, o CreateOptions) error {
	_, err := r.run(ctx, call{
		verb: createVerb(), argv: o.args(id), files: o.Files, pidFile: o.PidFile, capture: o.ConsoleSocket != "",
	})
	return err
}

// Start has the container's init run the user's command.
func (r *Runtime) Start(ctx context.Context, id string) error {
	return r.simple(ctx, startVerb(), "start", id)
}

// Delete removes a container that is stopped or was never started; with force, any:
// it is killed first, and one that does not exist is no error.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) error {
	_, err := r.run(ctx, call{verb: deleteVerb(), argv: deleteArgs(id, force), capture: true})
	return err
}

// Kill signals init, or with all every process of the container.
func (r *Runtime) Kill(ctx context.Context, id string, sig syscall.Signal, all bool) error {
	_, err := r.run(ctx, call{verb: killVerb(all), argv: killArgs(id, sig, all), capture: true})
	return err
}

// Exec runs one more process in the container. After an error of kind ErrTimeout,
// or of a ctx that ended, the process is dead too if it was there.
func (r *Runtime) Exec(ctx context.Context, id string, o ExecOptions) error {
	_, err := r.run(ctx, call{
		verb: execVerb(), argv: o.args(id), log: o.Log, files: o.Files, pidFile: o.PidFile, capture: o.ConsoleSocket != "",
	})
	return err
}

// Pause freezes the container's processes.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.simple(ctx, pauseVerb(), "pause", id)
}

// Resume thaws what Pause froze.
func (r *Runtime) Resume(ctx context.Context, id string) error {
	return r.simple(ctx, resumeVerb(), "resume", id)
}

// Update changes the container's limits. resources is OCI LinuxResources as JSON.
func (r *Runtime) Update(ctx context.Context, id string, resources []byte) error {
	stdin, err := memoryFile()
	if err != nil {
		return fmt.Errorf("update container: %w", err)
	}
	defer closeMemory(stdin)
	if _, err := stdin.WriteAt(resources, 0); err != nil { // the runtime reads from offset 0
		return fmt.Errorf("update container: pass resources: %w", err)
	}
	_, err = r.run(ctx, call{
		verb: updateVerb(), argv: []string{"update", "--resources=-", id},
		files: [3]*os.File{stdin}, capture: true,
	})
	return err
}

// Checkpoint writes an image of the container with CRIU.
func (r *Runtime) Checkpoint(ctx context.Context, id string, o CheckpointOptions) error {
	_, err := r.run(ctx, call{verb: checkpointVerb(), argv: o.args(id), capture: true})
	return err
}

// Restore makes a container from an image, running. What is said of a failed
// Create holds here too.
func (r *Runtime) Restore(ctx context.Context, id string, o RestoreOptions) error {
	_, err := r.run(ctx, call{
		verb: restoreVerb(), argv: o.args(id), files: o.Files, pidFile: o.PidFile, capture: o.ConsoleSocket != "",
	})
	return err
}

// State is what the runtime says of a container (OCI runtime spec, runtime.md#state).
type State struct {
	Pid    int    `json:"pid"`    // init's; 0 when it is stopped
	Status string `json:"status"` // "created", "running", "paused", "stopped"
	Bundle string `json:"bundle"`
}

// State asks the runtime for the container's state.
func (r *Runtime) State(ctx context.Context, id string) (State, error) {
	var s State
	err := r.query(ctx, &s, stateVerb(), "state", id)
	return s, err
}

// Pids asks the runtime for the pids of the container's processes.
func (r *Runtime) Pids(ctx context.Context, id string) ([]int, error) {
	var pids []int
	err := r.query(ctx, &pids, psVerb(), "ps", "--format", "json", id)
	return pids, err
}

// Features returns what the runtime can do as it prints it: JSON of the OCI
// runtime spec's features.md. Runtimes of before 2022 do not know the verb.
func (r *Runtime) Features(ctx context.Context) ([]byte, error) {
	var raw json.RawMessage
	err := r.query(ctx, &raw, featuresVerb(), "features")
	return raw, err
}

func (r *Runtime) simple(ctx context.Context, v verb, argv ...string) error {
	_, err := r.run(ctx, call{verb: v, argv: argv, capture: true})
	return err
}

// query runs a verb that prints JSON, and decodes that into result.
func (r *Runtime) query(ctx context.Context, result any, v verb, argv ...string) error {
	out, err := r.run(ctx, call{verb: v, argv: argv, result: true})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("parse output of %s %s: %w", r.name(), v.name, err)
	}
	return nil
}
