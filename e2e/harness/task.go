package harness

import (
	"cmp"
	"io"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TaskConfig describes a container and its task. The zero value of each field is usable.
type TaskConfig struct {
	ID       string // default: a new one
	Args     []string
	Terminal bool
	Stdin    io.Reader
	Stdout   io.Writer // default: the process's Out
	Spec     []oci.SpecOpts
	Options  []client.NewContainerOpts
}

// A Task is a container's init. API is containerd's own task.
type Task struct {
	*Process
	API       client.Task
	Container client.Container
}

// NewContainer makes a container record with a snapshot of its own.
func (c *Case) NewContainer(cfg TaskConfig) client.Container {
	c.T.Helper()
	id := cfg.ID
	if id == "" {
		id = c.NewID()
	}
	image, err := c.D.Client.GetImage(c.Ctx, Image)
	c.NoError(err, "get image")
	spec := []oci.SpecOpts{oci.WithImageConfig(image), oci.WithProcessArgs(cfg.Args...)}
	if cfg.Terminal {
		spec = append(spec, oci.WithTTY)
	}
	options := []client.NewContainerOpts{
		client.WithSnapshotter(snapshotter), client.WithNewSnapshot(id, image), client.WithRuntime(Runtime(), nil),
		client.WithNewSpec(append(spec, cfg.Spec...)...),
	}
	container, err := c.D.Client.NewContainer(c.Ctx, id, append(options, cfg.Options...)...)
	c.NoError(err, "create container record")
	return container
}

// NewTask makes a container and creates its task, without starting it.
func (c *Case) NewTask(cfg TaskConfig) *Task {
	c.T.Helper()
	container := c.NewContainer(cfg)
	p := &Process{Out: &Output{}, Err: &Output{}, c: c}
	task, err := container.NewTask(c.Ctx, p.stdio(cfg))
	c.NoError(err, "create task")
	p.Process = task
	return &Task{Process: p, API: task, Container: container}
}

// Run makes a container and runs its task.
func (c *Case) Run(cfg TaskConfig) *Task {
	c.T.Helper()
	task := c.NewTask(cfg)
	task.Begin()
	return task
}

// RunShell is Run of a shell script.
func (c *Case) RunShell(script string) *Task {
	c.T.Helper()
	return c.Run(TaskConfig{Args: Shell(script)})
}

// Shell returns the arguments that run a script.
func Shell(script string) []string { return []string{"sh", "-c", script} }

// stdio makes the FIFOs below the daemon's directory and connects the process's outputs.
func (p *Process) stdio(cfg TaskConfig) cio.Creator {
	var stdout io.Writer = p.Out
	if cfg.Stdout != nil {
		stdout = cfg.Stdout
	}
	dir := cio.WithFIFODir(p.c.D.fifoDir())
	if cfg.Terminal {
		return cio.NewCreator(dir, cio.WithTerminal, cio.WithStreams(cfg.Stdin, stdout, nil))
	}
	return cio.NewCreator(dir, cio.WithStreams(cfg.Stdin, stdout, p.Err))
}

func (d *Daemon) fifoDir() string { return filepath.Join(d.dir, "fifo") }

// NewExec adds a process to the task, without starting it.
func (k *Task) NewExec(id string, cfg TaskConfig) *Process {
	k.c.T.Helper()
	spec, err := k.API.Spec(k.c.Ctx)
	k.c.NoError(err, "read spec")
	process := &specs.Process{
		Args: cfg.Args, Env: spec.Process.Env, Cwd: cmp.Or(spec.Process.Cwd, "/"), Terminal: cfg.Terminal,
		User: spec.Process.User, Capabilities: spec.Process.Capabilities,
	}
	p := &Process{Out: &Output{}, Err: &Output{}, c: k.c}
	p.Process, err = k.API.Exec(k.c.Ctx, id, process, p.stdio(cfg))
	k.c.NoError(err, "add exec "+id)
	return p
}

// Exec runs a shell script in the task's container.
func (k *Task) Exec(id, script string) *Process {
	k.c.T.Helper()
	p := k.NewExec(id, TaskConfig{Args: Shell(script)})
	p.Begin()
	return p
}
