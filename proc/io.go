package proc

import "fmt"

// CloseIO ends the process's standard input once what was written to it is read. It sticks: asked of an exec before it is started, it is applied at
// the start. Without a standard input it does nothing.
func (t *Task) CloseIO(execID string) error {
	p, err := t.process(execID)
	if err != nil {
		return err
	}
	t.mu.Lock()
	p.stdinEOF = true
	streams := p.streams
	t.mu.Unlock()
	if streams == nil {
		return nil
	}
	if err := streams.CloseStdin(); err != nil {
		return fmt.Errorf("close stdin of %s: %w", p.name(), err)
	}
	return nil
}

// ResizePty sets the size of the process's terminal in character cells. Without a terminal it does nothing. Asked of an exec before it is started, the
// size is what the exec starts with.
func (t *Task) ResizePty(execID string, width, height uint16) error {
	p, err := t.process(execID)
	if err != nil {
		return err
	}
	t.mu.Lock()
	streams := p.streams
	if streams == nil {
		p.size = &winsize{width, height}
	}
	if p.id != "" && p.told {
		t.mu.Unlock()
		return fmt.Errorf("cannot resize a stopped container: %w", ErrPrecondition)
	}
	t.mu.Unlock()
	if streams == nil {
		return nil
	}
	if err := streams.Resize(width, height); err != nil {
		return fmt.Errorf("resize terminal of %s: %w", p.name(), err)
	}
	return nil
}
