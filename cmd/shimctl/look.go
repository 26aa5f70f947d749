package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
	"golang.org/x/sys/unix"
)

// quick is the context of a verb that is answered at once.
func quick() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), quickLimit)
}

// ls lists every bundle in which a shim can be found. A shim that does not answer is listed as such.
func (p *program) ls(args []string) (int, error) {
	t := &target{}
	set := t.flags("ls")
	if err := p.parseFlags(set, args); err != nil {
		return 0, err
	}
	fmt.Fprintln(p.stdout, "NAMESPACE\tID\tSTATUS\tPID\tSHIM\tBUNDLE")
	for _, root := range []string{t.root, containerdRoot} {
		bundles, err := filepath.Glob(filepath.Join(root, "[^.]*", "[^.]*"))
		if err != nil {
			return 0, fmt.Errorf("list bundles: %w", err)
		}
		for _, dir := range bundles {
			fmt.Fprintln(p.stdout, listLine(dir))
		}
	}
	return exitOK, nil
}

// listLine describes one bundle.
func listLine(dir string) string {
	ctx, cancel := quick()
	defer cancel()
	id, namespace := filepath.Base(dir), filepath.Base(filepath.Dir(dir))
	status, pid, shimPid := "dead", uint32(0), uint32(0)
	if shim, err := launch.Attach(ctx, launch.Config{ID: id, Namespace: namespace, Bundle: dir}); err == nil {
		defer shim.Close()
		status = "unknown"
		if state, err := shim.Task.State(ctx, &protos.StateRequest{Id: id}); err == nil {
			status, pid = strings.ToLower(state.GetStatus().String()), state.GetPid()
		}
		if connected, err := shim.Task.Connect(ctx, &protos.ConnectRequest{Id: id}); err == nil {
			shimPid = connected.GetShimPid()
		}
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%s", namespace, id, status, pid, shimPid, dir)
}

// state shows what the shim says of the container, one field a line.
func (p *program) state(args []string) (int, error) {
	ctx, cancel := quick()
	defer cancel()
	t := &target{}
	shim, err := t.attach(ctx, p, "state", args, 0)
	if err != nil {
		return 0, err
	}
	defer shim.Close()
	state, err := shim.Task.State(ctx, &protos.StateRequest{Id: t.id})
	if err != nil {
		return 0, callError("ask for state", err)
	}
	for _, word := range fieldWords("", state) {
		if at := state.GetExitedAt(); strings.HasPrefix(word, "exited_at=") && at.AsTime().Before(time.Unix(1, 0)) {
			continue // Go's zero time: it has not ended
		}
		fmt.Fprintln(p.stdout, word)
	}
	return exitOK, nil
}

func (p *program) pids(args []string) (int, error) {
	ctx, cancel := quick()
	defer cancel()
	t := &target{}
	shim, err := t.attach(ctx, p, "pids", args, 0)
	if err != nil {
		return 0, err
	}
	defer shim.Close()
	response, err := shim.Task.Pids(ctx, &protos.PidsRequest{Id: t.id})
	if err != nil {
		return 0, callError("list processes", err)
	}
	for _, process := range response.GetProcesses() {
		fmt.Fprintln(p.stdout, process.GetPid())
	}
	return exitOK, nil
}

func (p *program) kill(args []string) (int, error) {
	ctx, cancel := quick()
	defer cancel()
	t := &target{}
	set := t.flags("kill")
	all := set.Bool("all", false, "to every process of the container")
	exec := set.String("exec", "", "to the exec of this `id`")
	if err := t.parse(p, set, args, 1); err != nil {
		return 0, err
	}
	sig := syscall.SIGTERM
	if len(t.args) > 0 {
		if sig = signalOf(t.args[0]); sig < 0 {
			return 0, fmt.Errorf("kill: no signal %q", t.args[0])
		}
	}
	shim, err := launch.Attach(ctx, t.config())
	if err != nil {
		return 0, err
	}
	defer shim.Close()
	_, err = shim.Task.Kill(ctx, &protos.KillRequest{Id: t.id, ExecId: *exec, Signal: uint32(sig), All: *all})
	if err != nil {
		return 0, callError("kill", err)
	}
	return exitOK, nil
}

// signalOf reads a signal's name, with SIG or without, or its number; -1 if it is none.
func signalOf(name string) syscall.Signal {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n <= 64 {
		return syscall.Signal(n)
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); sig != 0 {
		return sig
	}
	return -1
}

func (p *program) wait(args []string) (int, error) {
	ctx := context.Background()
	t := &target{}
	shim, err := t.attach(ctx, p, "wait", args, 0)
	if err != nil {
		return 0, err
	}
	defer shim.Close()
	exit, err := shim.Task.Wait(ctx, &protos.WaitRequest{Id: t.id})
	if err != nil {
		return 0, callError("wait", err)
	}
	return int(exit.GetExitStatus()), nil
}

// delete ends a container whose shimctl is gone, with its shim, dead or alive, and takes away all that is left.
func (p *program) delete(args []string) (int, error) {
	t := &target{}
	if err := t.parse(p, t.flags("delete"), args, 0); err != nil {
		return 0, err
	}
	if t.foreign {
		return 0, fmt.Errorf("delete: %s is containerd's: leave it to containerd", t.bundle)
	}
	ctx, cancel := quick()
	defer cancel()
	j := &job{p: p, flags: &runFlags{place: t.place}, config: t.config(), made: true, tried: true}
	shim, err := launch.Attach(ctx, j.config)
	if err == nil {
		j.shim, j.created = shim, true
		if j.process, err = shim.Process(ctx); err != nil {
			p.say("%v", err)
		}
	}
	// What the shim still has to tell is taken, so that it need not wait.
	if j.events, err = launch.Listen(t.eventsSocket()); err != nil {
		return 0, err
	}
	j.printer = newPrinter(p, j.events, false)
	go j.printer.run()
	return exitOK, j.cleanUp()
}

// callError makes the error of a call, in the shim's own words.
func callError(doing string, err error) error {
	return fmt.Errorf("%s: %s", doing, launch.Message(err))
}
