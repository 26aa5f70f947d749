package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/types/known/anypb"
)

// execFlags is the command line of exec.
type execFlags struct {
	target
	env  list
	cwd  string
	user string
}

// exec runs another process in a container and exits with its status.
func (p *program) exec(args []string) (int, error) {
	f := &execFlags{}
	run := &runFlags{}
	set := f.flags("exec")
	set.BoolVar(&run.terminal, "t", false, "give the process a terminal")
	set.BoolVar(&run.interactive, "i", false, "connect standard input (default: if it is no terminal, or with -t)")
	set.Var(&f.env, "env", "set a variable of the environment, `KEY=VALUE` (repeatable)")
	set.StringVar(&f.cwd, "cwd", "", "the working `directory` in the container (default: as its init's)")
	set.StringVar(&f.user, "user", "", "run as `uid[:gid]` (default: as its init)")
	if err := f.parse(p, set, args, -1); err != nil {
		return 0, err
	}
	if len(f.args) == 0 {
		return 0, fmt.Errorf("exec: want ID and COMMAND")
	}
	if err := run.setUser(f.user); err != nil {
		return 0, err
	}
	run.place = f.place
	j := &job{p: p, flags: run, signals: newRelay(), exec: "x" + rand.Text(), tail: &tail{p: p}}
	go j.signals.run()
	defer j.signals.close()
	code, err := j.execLife(f)
	if sig := j.signals.aborted(); sig != 0 {
		return exitSignal + int(sig), nil
	}
	return code, err
}

// execLife adds the exec, starts it, follows it to its end and takes it away.
func (j *job) execLife(f *execFlags) (int, error) {
	ctx := j.signals.ctx
	j.terminal = newTerminal(j.p)
	defer j.terminal.restore()
	spec, err := f.process(j.flags, j.terminal.size())
	if err != nil {
		return 0, err
	}
	if j.shim, err = launch.Attach(ctx, f.config()); err != nil {
		return 0, err
	}
	defer j.shim.Close()
	if err := f.place.make(); err != nil {
		return 0, err
	}
	j.streams, err = openStreams(ctx, j.p, streamsConfig{
		dir:      filepath.Join(f.root, ".io-"+j.exec),
		terminal: j.flags.terminal,
		input:    j.flags.interactive || j.flags.terminal || !isTerminal(j.p.stdin),
		broken:   j.outputBroken,
	})
	if err != nil {
		return 0, err
	}
	defer j.streams.close()
	paths := j.streams.paths
	_, err = j.shim.Task.Exec(ctx, &protos.ExecProcessRequest{
		Id: f.id, ExecId: j.exec, Terminal: j.flags.terminal, Stdin: paths[0], Stdout: paths[1], Stderr: paths[2], Spec: spec,
	})
	if err != nil {
		return 0, j.taskError("add process", err)
	}
	defer j.deleteExec()
	j.streams.copyOutput()
	if err := j.start(ctx); err != nil {
		return 0, err
	}
	return j.follow()
}

// deleteExec ends the exec, whatever its state.
func (j *job) deleteExec() {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if _, err := j.shim.Task.Delete(ctx, &protos.DeleteRequest{Id: j.flags.id, ExecId: j.exec}); err != nil && !gone(err) {
		j.p.say("delete process: %s", launch.Message(err))
	}
}

// process makes the exec's spec from that of the container's init, which is kept as it is but for what the command line says.
func (f *execFlags) process(run *runFlags, size *launch.SpecSize) (*anypb.Any, error) {
	data, err := os.ReadFile(filepath.Join(f.bundle, bundle.ConfigFile))
	if err != nil {
		return nil, fmt.Errorf("read container's spec: %w", err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("read container's spec: %w", err)
	}
	process := object(spec, "process")
	if process == nil {
		return nil, fmt.Errorf("read container's spec: no process")
	}
	process["args"], process["terminal"] = f.args, run.terminal
	delete(process, "consoleSize")
	if size != nil && run.terminal {
		process["consoleSize"] = size
	}
	env, _ := process["env"].([]any)
	for _, entry := range f.env {
		env = append(env, entry)
	}
	process["env"] = env
	if f.cwd != "" {
		process["cwd"] = f.cwd
	}
	if f.user != "" {
		process["user"] = run.container.User
	}
	value, err := json.Marshal(process)
	if err != nil {
		return nil, fmt.Errorf("encode process: %w", err)
	}
	return &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: value}, nil
}
