package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// callMax bounds every single request, so that a contender that hangs is an error and not a benchmark that never ends.
const callMax = 60 * time.Second

const namespace = "bench"

// contender is a shim to be measured.
type contender struct {
	name, binary string
}

type contenders []contender

func (c *contenders) String() string { return fmt.Sprint(*c) }

func (c *contenders) Set(v string) error {
	name, path, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("want NAME=PATH")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(abs); err != nil {
		return err
	}
	*c = append(*c, contender{name, abs})
	return nil
}

// lab is what all parts share.
type lab struct {
	options
	results
	events *launch.Events
	seen   *sightings
	serial int
}

// newLab mounts a tmpfs on the working directory, for /run is one where shims run, if not on every machine for development.
func newLab(o options) (*lab, error) {
	if err := os.MkdirAll(o.work, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("wisp-bench", o.work, "tmpfs", 0, "mode=0700"); err != nil {
		return nil, fmt.Errorf("mount tmpfs on %s: %w", o.work, err)
	}
	events, err := launch.Listen(filepath.Join(o.work, "events.sock"))
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, results: newResults(o), events: events, seen: newSightings()}
	go l.seen.watch(events.C())
	if err := l.installWriter(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *lab) close() {
	_ = l.events.Close()
	_ = unix.Unmount(l.work, unix.MNT_DETACH)
	_ = os.Remove(l.work)
}

// box is one task under one contender.
type box struct {
	l      *lab
	c      contender
	id     string
	dir    string
	shim   *launch.Shim
	log    *launch.Log
	cfg    launch.Config
	pid    uint32
	server *launch.Process
}

// newBox makes a bundle for c that runs args. The shim is not started yet.
func (l *lab) newBox(c contender, terminal bool, args ...string) (*box, error) {
	l.serial++
	id := fmt.Sprintf("b%d", l.serial)
	dir := filepath.Join(l.work, id)
	if err := launch.MakeBundle(dir, launch.Container{
		Namespace: namespace, ID: id, Rootfs: l.rootfs, Args: args, Terminal: terminal, Readonly: true,
	}); err != nil {
		return nil, err
	}
	log, err := launch.OpenLog(dir, logSink{})
	if err != nil {
		return nil, err
	}
	opts, err := proto.Marshal(&protos.RuncOptions{BinaryName: l.runc, Root: filepath.Join(l.work, "runc")})
	if err != nil {
		return nil, err
	}
	return &box{l: l, c: c, id: id, dir: dir, log: log, cfg: launch.Config{
		Binary: c.binary, Namespace: namespace, ID: id, Bundle: dir, Address: filepath.Join(l.work, "d.sock"),
		TTRPCAddress: filepath.Join(l.work, "events.sock"),
		Options:      &anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: opts},
	}}, nil
}

// logSink discards what a shim logs.
type logSink struct{}

func (logSink) Write(p []byte) (int, error) { return len(p), nil }

// start runs the shim's start and returns when the shim has answered a request.
func (b *box) start(ctx context.Context) error {
	shim, err := launch.Start(ctx, b.cfg)
	if err != nil {
		return fmt.Errorf("%s: start: %w", b.c.name, err)
	}
	b.shim = shim
	if b.server, err = shim.Process(ctx); err != nil {
		return fmt.Errorf("%s: connect: %w", b.c.name, err)
	}
	return nil
}

func (b *box) create(ctx context.Context, s streams) error {
	r, err := b.shim.Task.Create(ctx, &protos.CreateTaskRequest{
		Id: b.id, Bundle: b.dir, Options: b.cfg.Options,
		Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr, Terminal: s.terminal,
	})
	if err != nil {
		return fmt.Errorf("%s: create: %w", b.c.name, err)
	}
	b.pid = r.GetPid()
	return nil
}

func (b *box) run(ctx context.Context) error {
	_, err := b.shim.Task.Start(ctx, &protos.StartRequest{Id: b.id})
	if err != nil {
		return fmt.Errorf("%s: start task: %w", b.c.name, err)
	}
	return nil
}

func (b *box) wait(ctx context.Context) error {
	_, err := b.shim.Task.Wait(ctx, &protos.WaitRequest{Id: b.id})
	return err
}

func (b *box) delete(ctx context.Context) error {
	_, err := b.shim.Task.Delete(ctx, &protos.DeleteRequest{Id: b.id})
	if err != nil {
		return fmt.Errorf("%s: delete: %w", b.c.name, err)
	}
	return nil
}

// shutdown ends the shim as a daemon does; a connection that closes under the answer is fine.
func (b *box) shutdown(ctx context.Context) {
	_, _ = b.shim.Task.Shutdown(ctx, &protos.ShutdownRequest{Id: b.id})
	_ = b.shim.Close()
}

// up is start, create and run with no streams.
func (b *box) up(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.create(ctx, streams{}); err != nil {
		return err
	}
	return b.run(ctx)
}

// down kills the task, whatever state it is in, and removes all of it.
func (b *box) down(ctx context.Context) error {
	var err error
	if b.shim != nil {
		_, _ = b.shim.Task.Kill(ctx, &protos.KillRequest{Id: b.id, Signal: 9})
		_ = b.wait(ctx)
		err = b.delete(ctx)
		b.shutdown(ctx)
		if _, derr := b.shim.Delete(ctx); derr != nil {
			err = errors.Join(err, derr)
		}
	}
	return errors.Join(err, b.clear())
}

func (b *box) clear() error {
	if b.server != nil {
		_ = b.server.Close()
	}
	return errors.Join(b.log.Close(), os.RemoveAll(b.dir))
}

// raw runs runc itself.
func (l *lab) raw(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, l.runc, append([]string{"--root", filepath.Join(l.work, "raw")}, args...)...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("runc %s: %w", args[0], err)
	}
	return nil
}
