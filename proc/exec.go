package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	stdio "github.com/wisp-shim/wisp/io"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
)

// execSpec is an OCI process as the manager gave it, with the members that the shim must look at or change. All others pass through untouched.
type execSpec map[string]json.RawMessage

// Exec adds a process to the task; nothing runs yet. spec is an OCI process (runtime-spec config.md#process) as JSON, whose terminal gives way to
// the request's.
func (t *Task) Exec(ctx context.Context, execID string, s Stdio, spec []byte) error {
	var parsed execSpec
	if len(spec) == 0 {
		return fmt.Errorf("exec %s: no process spec: %w", execID, ErrInvalid)
	}
	if err := json.Unmarshal(spec, &parsed); err != nil || parsed == nil {
		return fmt.Errorf("exec %s: parse process spec: %w: %w", execID, orEmpty(err), ErrInvalid)
	}
	if _, err := t.init.check(ctx, VerbExec); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.execs[execID] != nil {
		return fmt.Errorf("id %s: %w", execID, ErrExists)
	}
	if table[t.init.state][VerbExec].answer != pass {
		return refusal(VerbExec, t.init.state, "process")
	}
	p := newProcess(t, execID, s, Created)
	p.spec = parsed
	t.execs[execID] = p
	t.emitLocked(Event{Kind: EventExecAdded, At: time.Now(), Exec: execID})
	return nil
}

var errNotAnObject = errors.New("not a JSON object")

func orEmpty(err error) error {
	if err == nil {
		return errNotAnObject
	}
	return err
}

// runExec is the work of an exec's start: streams, the runtime's exec, the claim. On failure nothing runs and nothing is left.
func (p *process) runExec(ctx context.Context) (err error) {
	t := p.task
	ctx = runtimeContext(ctx)
	streams, err := stdio.Open(ctx, t.streamConfig(p.id, p.stdio))
	if err != nil {
		return classify(err)
	}
	child, err := p.runtimeExec(ctx, streams)
	if err == nil {
		err = streams.Attach(ctx)
	}
	if err != nil {
		if child != nil {
			child.Signal(killSignal)
			<-child.Done()
		}
		return errors.Join(err, streams.Close())
	}
	t.mu.Lock()
	p.child, p.pid, p.streams = child, child.Pid(), streams
	eof, size := p.stdinEOF, p.size
	t.mu.Unlock()
	// What was asked of the streams before they were there. A request from here on finds them.
	if eof {
		streams.CloseStdin()
	}
	if size != nil {
		streams.Resize(size.width, size.height)
	}
	return nil
}

func (p *process) runtimeExec(ctx context.Context, streams *stdio.Streams) (*reaper.Process, error) {
	t := p.task
	spec, err := p.processJSON()
	if err != nil {
		return nil, err
	}
	specFile, pidFile, logFile := p.file(".process.json"), p.pidFile(), p.file(".log.json")
	if err := os.WriteFile(specFile, spec, 0o600); err != nil {
		return nil, fmt.Errorf("write process spec: %w", err)
	}
	defer os.Remove(specFile)
	defer os.Remove(logFile)
	watch := t.cfg.Reaper.Watch()
	defer watch.Close()
	err = t.cfg.Runtime.Exec(ctx, t.id, runc.ExecOptions{
		ProcessFile: specFile, PidFile: pidFile, Log: logFile, ConsoleSocket: streams.ConsoleSocket(), Files: streams.Files(),
	})
	if err != nil {
		os.Remove(pidFile)
		return nil, err
	}
	child, err := claim(watch, pidFile)
	if err == nil {
		t.ownOOMScore(child)
	}
	return child, err
}

// pidFile is where the runtime writes the exec's pid. One named "init" may not have init.pid, which is the container's and is read by `delete`; no
// identifier has two dots in a row, so that the name it gets is nobody else's.
func (p *process) pidFile() string {
	if p.file(".pid") == filepath.Join(string(p.task.cfg.Bundle), bundle.InitPidFile) {
		return p.file("..pid")
	}
	return p.file(".pid")
}

// file is a file of this exec in the bundle. Exec ids are valid identifiers, so no two execs share one.
func (p *process) file(suffix string) string {
	return filepath.Join(string(p.task.cfg.Bundle), p.id+suffix)
}

// processJSON is the spec for the runtime: with the request's terminal, and the size that a ResizePty asked for before there was a terminal to resize.
func (p *process) processJSON() ([]byte, error) {
	p.task.mu.Lock()
	size := p.size
	p.task.mu.Unlock()
	p.spec["terminal"] = json.RawMessage("false")
	if p.stdio.Terminal {
		p.spec["terminal"] = json.RawMessage("true")
	}
	if p.stdio.Terminal && size != nil {
		box, err := json.Marshal(bundle.Size{Width: uint(size.width), Height: uint(size.height)})
		if err != nil {
			return nil, fmt.Errorf("write console size: %w", err)
		}
		p.spec["consoleSize"] = box
	}
	data, err := json.Marshal(p.spec)
	if err != nil {
		return nil, fmt.Errorf("write process spec: %w", err)
	}
	return data, nil
}
