package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/bell"
	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/protos"
	"github.com/wisp-shim/wisp/reaper"
)

// gcPercent makes the first collection come at 1 MB of heap: a whole life of a task stays below that, and a storm of execs does not get far above.
const gcPercent = 25

// Durations of a server's life.
const (
	// stopGrace is what a container gets between the SIGTERM that this process passes on and SIGKILL: within what systemd gives a unit.
	stopGrace = 10 * time.Second
	// flushMax bounds the delivery of the last events before the process leaves.
	flushMax = 5 * time.Second
	// drainMax bounds the wait for the last answers, Shutdown's own among them, to be written.
	drainMax = time.Second
	// lonelyMax is how long a shim stays that has no task and no connection: its manager died between start and Create, or after Delete.
	lonelyMax = 2 * time.Minute
)

// server is the life of the process: what it listens to and how it ends.
type server struct {
	cfg       serverConfig
	log       *Logger
	tasks     *tasks
	reaper    *reaper.Reaper
	publisher *Publisher
	counters  Counters
	conns     *connections
	quiet     *quiet
	ttrpc     *ttrpc.Server

	once    sync.Once
	leaving chan struct{} // closed by leave
}

// serve runs a server until it is shut down. Signals come first, so that none finds the process unprepared.
func serve(ctx context.Context, cfg serverConfig) error {
	debug.SetGCPercent(gcPercent)
	if cfg.Procs > 0 {
		runtime.GOMAXPROCS(cfg.Procs)
	}
	signals, err := bell.Open(unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	if err != nil {
		return err
	}
	defer signals.Close()
	log, err := OpenLog(cfg.Bundle, cfg.Namespace, cfg.ID, cfg.Debug)
	if err != nil {
		return err
	}
	defer log.Close()
	s, err := newServer(cfg, log)
	if err != nil {
		return err
	}
	if err := cfg.Ready(); err != nil {
		return err
	}
	if err := log.TakeStderr(); err != nil {
		return err
	}
	return s.run(ctx, signals)
}

func newServer(cfg serverConfig, log *Logger) (*server, error) {
	s := &server{
		cfg: cfg, log: log, tasks: newTasks(), reaper: reaper.New(), quiet: newQuiet(),
		publisher: NewPublisher(cfg.TTRPCAddress, cfg.Namespace, log),
		leaving:   make(chan struct{}),
	}
	s.conns = newConnections(s.tasks, s.leave)
	guard := &guard{log: log, counters: &s.counters, quiet: s.quiet}
	srv, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(s.conns), ttrpc.WithUnaryServerInterceptor(guard.intercept))
	if err != nil {
		return nil, fmt.Errorf("make ttrpc server: %w", err)
	}
	s.ttrpc = srv
	svc := &service{namespace: cfg.Namespace, bundle: bundle.Dir(cfg.Bundle), spec: cfg.Spec, tasks: s.tasks, reaper: s.reaper, log: log, emit: s.emit, leave: s.leave}
	protos.RegisterV2TaskService(srv, svc)
	protos.RegisterV3TaskService(srv, svc)
	return s, nil
}

// emit queues an event of package proc for the manager.
func (s *server) emit(e proc.Event) {
	s.quiet.stir()
	topic, typeName, m := eventToWire(e)
	s.publisher.Publish(e.At, topic, typeName, m)
}

// leave begins the end of the process. It returns at once and may be called by anyone, more than once.
func (s *server) leave() { s.once.Do(func() { close(s.leaving) }) }

// run starts the parts in the order in which they need each other, waits for the end, and takes them down the other way round.
func (s *server) run(ctx context.Context, signals *bell.Bell) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	var reaperErr error
	parts.Go(func() { reaperErr = s.reaper.Run(ctx) })
	parts.Go(func() { s.publisher.Run(ctx) })
	served := make(chan error, 1)
	parts.Go(func() { served <- s.ttrpc.Serve(ctx, s.cfg.Listener) })
	s.conns.start()
	err := s.live(signals, served)
	s.goodbye()
	cancel()
	s.quiet.stop()
	s.conns.stop()
	parts.Wait()
	return errors.Join(err, reaperErr)
}

// live handles signals until it is time to leave.
func (s *server) live(signals *bell.Bell, served <-chan error) error {
	for {
		select {
		case <-s.leaving:
			return nil
		case err := <-served:
			return fmt.Errorf("serve %s: %w", s.cfg.SocketPath, err)
		case <-signals.C:
			if signals.Took(unix.SIGUSR1) {
				s.dump()
			}
			if toldToStop(signals) {
				s.log.Info("shim is told to stop")
				s.stopTasks(signals)
				return nil
			}
		}
	}
}

// toldToStop tells whether SIGTERM or SIGINT has come.
func toldToStop(signals *bell.Bell) bool {
	term, interrupt := signals.Took(unix.SIGTERM), signals.Took(unix.SIGINT)
	return term || interrupt
}

func (s *server) dump() {
	d := Dumper{Dir: s.cfg.Bundle, Log: s.log, Sections: []func([]byte) []byte{appendMemory, s.counters.AppendStatus, s.log.AppendStatus, s.publisher.AppendStatus}}
	if err := d.Dump(); err != nil {
		s.log.Error("dump", "error", err)
	}
}

// stopTasks does not abandon what runs (docs/decisions/0017): each container gets the signal that this process got, and after a grace SIGKILL; a second
// signal ends the grace. Their exits are recorded and told as always.
func (s *server) stopTasks(signals *bell.Bell) {
	tasks := s.tasks.all()
	if len(tasks) == 0 {
		return
	}
	done := make(chan struct{})
	var waits sync.WaitGroup
	for _, t := range tasks {
		s.stopTask(t, unix.SIGTERM)
		waits.Go(func() { s.awaitTask(t) })
	}
	go func() { waits.Wait(); close(done) }()
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	case <-signals.C:
	}
	for _, t := range tasks {
		s.stopTask(t, unix.SIGKILL)
	}
	timer.Reset(stopGrace)
	select {
	case <-done:
	case <-timer.C:
		s.log.Error("containers live after SIGKILL: leaving them to `delete`")
	}
}

func (s *server) stopTask(t *proc.Task, sig syscall.Signal) {
	if err := t.Kill(context.Background(), "", sig, false); err != nil && !errors.Is(err, proc.ErrNotFound) {
		s.log.Warn("stop task", "task", t.ID(), "signal", sig, "error", err)
	}
}

func (s *server) awaitTask(t *proc.Task) {
	if _, err := t.Wait(context.Background(), ""); err != nil {
		s.log.Warn("wait for task", "task", t.ID(), "error", err)
	}
}

// goodbye takes the address away first, so that nobody new comes, then lets the last answers and events out.
func (s *server) goodbye() {
	s.removeSocket()
	if err := s.ttrpc.Close(); err != nil {
		s.log.Debug("close ttrpc server", "error", err)
	}
	s.conns.drain(drainMax)
	ctx, cancel := context.WithTimeout(context.Background(), flushMax)
	defer cancel()
	if err := s.publisher.Flush(ctx); err != nil {
		s.log.Warn("events not delivered", "error", err)
	}
}

// removeSocket unlinks the socket, and the bundle's files that name it.
func (s *server) removeSocket() {
	inBundle := func(name string) string { return filepath.Join(s.cfg.Bundle, name) }
	for _, path := range []string{s.cfg.SocketPath, inBundle(bundle.AddressFile), inBundle(bundle.SocketDirLink)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("remove socket", "error", err)
		}
	}
}
