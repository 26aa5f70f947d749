package main

import (
	"bytes"
	"strings"
	"sync"
)

// tailSize is how much of a shim's log is kept, in bytes: for its last words, should it die.
const tailSize = 4096

// tail takes a shim's log: it keeps the end of it, and shows it as it comes if asked to.
type tail struct {
	p    *program
	show bool

	mu   sync.Mutex // guards data
	data []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	t.data = append(t.data, data...)
	t.data = t.data[max(0, len(t.data)-tailSize):]
	t.mu.Unlock()
	if t.show {
		for line := range bytes.Lines(data) {
			t.p.line(strings.TrimRight(string(line), "\r\n"))
		}
	}
	return len(data), nil
}

// last is the last line of the log.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.data))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
