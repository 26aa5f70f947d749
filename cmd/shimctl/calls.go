package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// taskError passes the runtime's words on, with the exit code that they ask for.
func (j *job) taskError(doing string, err error) error {
	message := launch.Message(err)
	if j.signals.ctx.Err() != nil {
		message = "interrupted"
	}
	return &exitError{code: exitCodeOf(message), err: errors.New(doing + ": " + message)}
}

// kill sends the container a signal that we were sent. That it has ended meanwhile is no news.
func (j *job) kill(sig syscall.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), quickLimit)
	defer cancel()
	_, _ = j.shim.Task.Kill(ctx, &protos.KillRequest{Id: j.flags.id, ExecId: j.exec, Signal: uint32(sig)})
}

// resize gives the container's terminal the size of ours.
func (j *job) resize() {
	size := j.terminal.size()
	if size == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quickLimit)
	defer cancel()
	_, _ = j.shim.Task.ResizePty(ctx, &protos.ResizePtyRequest{Id: j.flags.id, ExecId: j.exec, Width: uint32(size.Width), Height: uint32(size.Height)})
}

// inputEnded tells the shim that nothing more comes: our end of the fifo is closed, and now the one that it holds.
func (j *job) inputEnded() {
	ctx, cancel := context.WithTimeout(context.Background(), quickLimit)
	defer cancel()
	_, _ = j.shim.Task.CloseIO(ctx, &protos.CloseIORequest{Id: j.flags.id, ExecId: j.exec, Stdin: true})
}

// outputBroken ends a container whose output goes nowhere any more: on a command line the kernel would do that by SIGPIPE.
func (j *job) outputBroken() { j.kill(syscall.SIGKILL) }
