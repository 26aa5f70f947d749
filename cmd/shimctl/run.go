package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// callLimit bounds a call that runs the runtime. The runtime's own budget in the shim is shorter.
	callLimit = time.Minute
	// quickLimit bounds a call that is answered from memory, and a signal.
	quickLimit = 10 * time.Second
)

// job is one run. Its steps fill it from top to bottom; cleanUp takes away whatever there is.
type job struct {
	p       *program
	flags   *runFlags
	signals *relay

	config   launch.Config
	made     bool // the bundle is ours
	log      *launch.Log
	tail     *tail
	events   *launch.Events
	printer  *printer
	terminal *terminal
	streams  *streams
	tried    bool // start was run: the shim may be there
	shim     *launch.Shim
	process  *launch.Process
	created  bool   // the task may be there
	exec     string // an exec of the task is meant, not its init
}

// run is the verb: one container, from its bundle to its last byte.
func (p *program) run(args []string) (int, error) {
	flags, err := p.parseRun(args)
	if err != nil {
		return 0, err
	}
	j := &job{p: p, flags: flags, signals: newRelay()}
	go j.signals.run()
	defer j.signals.close()
	code, err := j.life()
	if err := j.cleanUp(); err != nil {
		j.p.say("%v", err) // the container's status is worth more than ours
	}
	if sig := j.signals.aborted(); sig != 0 {
		return exitSignal + int(sig), nil
	}
	return code, err
}

// life takes the steps one after the other, as long as no signal asks to stop, and then follows the container to its end.
func (j *job) life() (int, error) {
	j.terminal = newTerminal(j.p)
	defer j.terminal.restore()
	steps := []func(context.Context) error{j.makeFiles, j.startShim, j.create, j.start}
	for _, step := range steps {
		if err := step(j.signals.ctx); err != nil {
			return 0, err
		}
		if j.signals.aborted() != 0 {
			return 0, nil
		}
	}
	return j.follow()
}

// makeFiles makes the bundle and what the shim will look for in it and beside it.
func (j *job) makeFiles(ctx context.Context) error {
	f := j.flags
	if err := f.place.make(); err != nil {
		return err
	}
	size := j.terminal.size()
	if f.bundle == "" {
		f.container.Size = size
	}
	if err := f.makeBundle(); err != nil {
		return err
	}
	j.made = true
	var err error
	j.tail = &tail{p: j.p, show: f.debug}
	if j.log, err = launch.OpenLog(f.bundleDir(), j.tail); err != nil {
		return err
	}
	if j.events, err = launch.Listen(f.eventsSocket()); err != nil {
		return err
	}
	j.printer = newPrinter(j.p, j.events, f.events)
	go j.printer.run()
	j.streams, err = openStreams(ctx, j.p, streamsConfig{
		dir:      filepath.Join(f.bundleDir(), "io"),
		terminal: f.terminal,
		input:    f.interactive || f.terminal || !isTerminal(j.p.stdin),
		broken:   j.outputBroken,
	})
	return err
}

// startShim starts the shim as a manager does.
func (j *job) startShim(ctx context.Context) error {
	f := j.flags
	options, err := proto.Marshal(&protos.RuncOptions{BinaryName: f.runtime, Root: f.runtimeDir()})
	if err != nil {
		return fmt.Errorf("encode options: %w", err)
	}
	j.config = launch.Config{
		Binary: f.shim, Namespace: f.namespace, ID: f.id, Bundle: f.bundleDir(),
		Address: filepath.Join(f.root, "shimctl.sock"), TTRPCAddress: f.eventsSocket(), SocketDir: f.socketDir(),
		Options: &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: options},
		Debug:   f.debug, Legacy: f.legacy,
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	j.tried = true
	if j.shim, err = launch.Start(ctx, j.config); err != nil {
		return err
	}
	j.process, err = j.shim.Process(ctx)
	return err
}

// create makes the container and connects its streams.
func (j *job) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	f, s := j.flags, j.streams
	j.created = true // or perhaps it is: a call that is broken off tells nothing
	_, err := j.shim.Task.Create(ctx, &protos.CreateTaskRequest{
		Id: f.id, Bundle: f.bundleDir(), Terminal: f.terminal,
		Stdin: s.paths[0], Stdout: s.paths[1], Stderr: s.paths[2], Options: j.config.Options,
	})
	if err != nil {
		return j.taskError("create container", err)
	}
	s.copyOutput()
	return nil
}

// start sets the terminal up and lets the container run. From here on signals are the container's.
func (j *job) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if j.flags.terminal {
		j.resize()
		if err := j.terminal.setRaw(); err != nil {
			return err
		}
	}
	j.signals.hold()
	if _, err := j.shim.Task.Start(ctx, &protos.StartRequest{Id: j.flags.id, ExecId: j.exec}); err != nil {
		return j.taskError("start command", err)
	}
	j.signals.deliver(j.kill)
	if j.flags.terminal {
		j.signals.onResize(j.resize)
		j.resize()
	}
	j.streams.copyInput(j.inputEnded)
	return nil
}

// follow waits for the container's end and for the last of what it wrote, and gives its status.
func (j *job) follow() (int, error) {
	exit, err := j.shim.Task.Wait(context.Background(), &protos.WaitRequest{Id: j.flags.id, ExecId: j.exec})
	if err != nil {
		return 0, j.shimLost(err)
	}
	// An exit closes the streams, after what is in them. Whoever reads ours may take as long as it likes, unless we are told to leave.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j.signals.deliver(func(syscall.Signal) { cancel() })
	j.streams.waitOutput(ctx)
	if code, err := j.streams.verdict(); code != 0 {
		return code, err
	}
	return int(exit.GetExitStatus()), nil
}

// shimLost makes the error for a shim that ceased to answer, with the last that it logged.
func (j *job) shimLost(err error) error {
	if last := j.tail.last(); last != "" {
		return fmt.Errorf("wait for container: %s: the shim's last words: %s", launch.Message(err), last)
	}
	return fmt.Errorf("wait for container: %s", launch.Message(err))
}
