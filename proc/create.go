package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/cgroup"
	stdio "github.com/wisp-shim/wisp/io"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
)

// Create makes the container and leaves its init waiting to be started. On any failure, and when the caller has gone by the time it is done,
// everything is undone: no process, mount or state of the runtime remains.
func Create(ctx context.Context, cfg Config) (*Task, error) {
	spec, err := cfg.Bundle.RereadSpec(cfg.Spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	t := &Task{id: cfg.ID, cfg: cfg, shared: spec.SharedPID, execs: map[string]*process{}}
	t.namesScore = spec.OOMScoreAdj != nil
	t.init = newProcess(t, "", cfg.Stdio, Creating)
	if err := t.create(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Task) create(ctx context.Context) (err error) {
	if err := t.writeBundle(); err != nil {
		return err
	}
	if err := t.mountRootfs(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.unmountRootfs(runtimeContext(ctx))
		}
	}()
	streams, err := stdio.Open(ctx, t.streamConfig("", t.cfg.Stdio))
	if err != nil {
		return classify(err)
	}
	child, err := t.runtimeCreate(ctx, streams)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("create task %s: its caller left: %w", t.id, ctx.Err())
	}
	if err == nil {
		err = streams.Attach(ctx)
	}
	if err != nil {
		t.undoCreate(runtimeContext(ctx), child, err)
		return errors.Join(err, streams.Close())
	}
	t.begin(child, streams)
	return nil
}

// begin makes the created container known: the event, the OOM watch and the goroutine that waits for its exit.
func (t *Task) begin(child *reaper.Process, streams *stdio.Streams) {
	var err error
	if t.cgroup, err = cgroup.Load(child.Pid()); err != nil {
		t.warn("no cgroup: stats and OOM reports are not to be had", "error", err)
	}
	t.watchOOM()
	p := t.init
	t.mu.Lock()
	p.child, p.pid, p.streams = child, child.Pid(), streams
	t.emitLocked(Event{
		Kind: EventCreate, At: time.Now(), Pid: p.pid,
		Bundle: string(t.cfg.Bundle), Rootfs: t.cfg.Rootfs, Stdio: t.cfg.Stdio,
	})
	p.setLocked(Created)
	t.mu.Unlock()
	t.work.Add(1)
	go p.awaitExit()
}

// writeBundle leaves in the bundle what `delete` needs when this process is gone.
func (t *Task) writeBundle() error {
	if err := t.cfg.Bundle.WriteOptions(t.cfg.Options); err != nil {
		return err
	}
	return t.cfg.Bundle.WriteRuntime(t.cfg.Options.BinaryName)
}

func (t *Task) rootfs() string { return filepath.Join(string(t.cfg.Bundle), bundle.RootfsDir) }

func (t *Task) mountRootfs() error {
	if len(t.cfg.Rootfs) == 0 {
		return nil
	}
	if err := os.Mkdir(t.rootfs(), 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create rootfs directory: %w", err)
	}
	if err := Mounter(t.cfg.Reaper).All(t.rootfs(), t.cfg.Rootfs); err != nil {
		return fmt.Errorf("failed to mount rootfs component: %w", err)
	}
	return nil
}

func (t *Task) unmountRootfs(ctx context.Context) error {
	if len(t.cfg.Rootfs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, umountMax)
	defer cancel()
	if err := Mounter(t.cfg.Reaper).UnmountAll(ctx, t.rootfs()); err != nil {
		return fmt.Errorf("failed rootfs umount: %w", err)
	}
	return nil
}

// runtimeCreate runs the runtime's create and claims the init that it leaves.
func (t *Task) runtimeCreate(ctx context.Context, streams *stdio.Streams) (*reaper.Process, error) {
	pidFile := filepath.Join(string(t.cfg.Bundle), bundle.InitPidFile)
	watch := t.cfg.Reaper.Watch()
	defer watch.Close()
	err := t.cfg.Runtime.Create(ctx, t.id, runc.CreateOptions{
		Bundle:        string(t.cfg.Bundle),
		PidFile:       pidFile,
		ConsoleSocket: streams.ConsoleSocket(),
		NoPivot:       t.cfg.Options.NoPivotRoot,
		NoNewKeyring:  t.cfg.Options.NoNewKeyring,
		Files:         streams.Files(),
	})
	if err != nil {
		return nil, err
	}
	child, err := claim(watch, pidFile)
	if err == nil {
		t.ownOOMScore(child)
	}
	return child, err
}

// claim takes the process whose pid the runtime wrote to pidFile. It may have died by now: the watch, open since before the runtime ran, has
// kept its exit.
func claim(watch *reaper.Watch, pidFile string) (*reaper.Process, error) {
	pid, err := bundle.ReadPid(pidFile)
	if err != nil {
		return nil, err
	}
	child, err := watch.Claim(pid)
	if err != nil {
		return nil, fmt.Errorf("claim process %d of %s: %w", pid, filepath.Base(pidFile), err)
	}
	return child, nil
}

// undoCreate removes what a create that failed with cause may have left. The container may not exist at all, which is fine. One that the runtime
// knew before is somebody else's, and stays.
func (t *Task) undoCreate(ctx context.Context, child *reaper.Process, cause error) {
	if errors.Is(cause, runc.ErrExists) {
		return
	}
	if err := t.cfg.Runtime.Delete(ctx, t.id, true); err != nil && !errors.Is(err, runc.ErrNotExist) {
		t.warn("undo of create", "error", err)
	}
	if child != nil {
		child.Signal(killSignal)
		<-child.Done()
	}
}

func (t *Task) streamConfig(execID string, s Stdio) stdio.Config {
	id := t.id
	if execID != "" {
		id = execID
	}
	return stdio.Config{
		ID: id, Namespace: t.cfg.Namespace,
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Terminal: s.Terminal,
		UID: int(t.cfg.Options.IoUid), GID: int(t.cfg.Options.IoGid),
		Dir: string(t.cfg.Bundle), Spawn: t.spawnLogger,
	}
}

// spawnLogger starts a logging binary. It must outlive neither its streams nor this process by much: it gets no Pdeathsig, for it still has the tail
// of the output to write when the shim dies.
func (t *Task) spawnLogger(c stdio.SpawnConfig) (stdio.Child, error) {
	return t.cfg.Reaper.Start(reaper.Command{Path: c.Path, Args: c.Args, Env: c.Env, Files: c.Files})
}

// classify gives the errors of lower packages their kind.
func classify(err error) error {
	if errors.Is(err, stdio.ErrInvalid) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return err
}
