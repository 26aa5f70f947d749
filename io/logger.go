package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The URI schemes of a logging binary. With the second it has to say that it is ready.
const (
	binaryScheme   = "binary://"
	binaryV2Scheme = "binary-v2://"
)

func isLogger(target string) bool {
	return strings.HasPrefix(target, binaryScheme) || strings.HasPrefix(target, binaryV2Scheme)
}

// errNotReady has the words that containerd's shim uses.
var errNotReady = errors.New("logging binary did not call ready (it may have crashed or exited prematurely)")

// logger is a logging binary: a process that reads stdout as descriptor 3 and stderr as 4, and writes or closes 5 when it is ready.
type logger struct {
	child Child
}

// openLoggerPipes starts the logging binary and gives the process its pipes to write to. Once the process has them the shim holds none: the logger sees the end
// of the stream by itself.
func (s *Streams) openLoggerPipes(ctx context.Context) error {
	var ours [2]*os.File
	defer func() {
		for _, f := range ours {
			if f != nil {
				_ = f.Close() // the logger has its own
			}
		}
	}()
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("make pipe to logging binary: %w", err)
		}
		ours[i], s.files[i+1] = r, w
		if err := w.Chown(s.cfg.UID, s.cfg.GID); err != nil {
			return fmt.Errorf("prepare pipe to logging binary: %w", err)
		}
	}
	return s.startLogger(ctx, ours[0], ours[1])
}

// openLoggerSink starts the logging binary for a terminal, whose output is copied to it. It has no stderr.
func (s *Streams) openLoggerSink() (*sink, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make pipe to logging binary: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[0]), "pipe")
	defer theirs.Close()
	err := unix.SetNonblock(fds[1], true)
	var e *end
	if err == nil {
		e, err = newEnd(fds[1], "logging binary")
	}
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, fmt.Errorf("prepare pipe to logging binary: %w", err)
	}
	if err := s.startLogger(context.Background(), theirs, nil); err != nil {
		e.close()
		return nil, err
	}
	return &sink{path: s.cfg.Stdout, write: e, read: -1}, nil
}

func (s *Streams) startLogger(ctx context.Context, stdout, stderr *os.File) error {
	path, args, err := parseLogger(s.cfg.Stdout)
	if err != nil {
		return err
	}
	if s.cfg.Spawn == nil {
		return fmt.Errorf("start logging binary %s: no way to start it: %w", path, ErrInvalid)
	}
	ready, signal, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe to logging binary: %w", err)
	}
	defer ready.Close()
	child, err := s.cfg.Spawn(SpawnConfig{
		Path: path, Args: args,
		Env:   []string{"CONTAINER_ID=" + s.cfg.ID, "CONTAINER_NAMESPACE=" + s.cfg.Namespace},
		Files: []*os.File{nil, nil, nil, stdout, stderr, signal},
	})
	_ = signal.Close() // the logger has its own
	if err != nil {
		return fmt.Errorf("start logging binary: %w", err)
	}
	s.logger = &logger{child: child}
	return awaitReady(ctx, ready, strings.HasPrefix(s.cfg.Stdout, binaryV2Scheme))
}

// awaitReady waits for the logger's byte. With the first scheme its closing of the descriptor will do, which its death does too.
func awaitReady(ctx context.Context, ready *os.File, byteNeeded bool) error {
	deadline := time.Now().Add(readyMax)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := ready.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("wait for logging binary: %w", err)
	}
	_, err := ready.Read(make([]byte, 1))
	switch {
	case err == nil, errors.Is(err, io.EOF) && !byteNeeded:
		return nil
	case errors.Is(err, io.EOF):
		return errNotReady
	}
	return fmt.Errorf("wait for logging binary: %w", err)
}

// parseLogger splits a URI into the binary and its arguments: key and value of each part of the query, in the URI's own order.
func parseLogger(uri string) (path string, args []string, err error) {
	_, rest, _ := strings.Cut(uri, "://")
	path, query, _ := strings.Cut(rest, "?")
	if path, err = unescape(path); err != nil {
		return "", nil, err
	}
	if !filepath.IsAbs(path) {
		return "", nil, fmt.Errorf("logging binary %q is not an absolute path: %w", path, ErrInvalid)
	}
	args = []string{path}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(query, "&") {
		k, v, hasValue := strings.Cut(part, "=")
		if k, err = unescape(strings.ReplaceAll(k, "+", " ")); err != nil {
			return "", nil, err
		}
		if v, err = unescape(strings.ReplaceAll(v, "+", " ")); err != nil {
			return "", nil, err
		}
		if k == "" || seen[k] {
			continue // only the first value of a key counts
		}
		seen[k] = true
		args = append(args, k)
		if hasValue {
			args = append(args, v)
		}
	}
	return path, args, nil
}

// unescape decodes %XX (RFC 3986, section 2.1).
func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("decode %q: %w", s, ErrInvalid)
		}
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("decode %q: %w", s, ErrInvalid)
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// end waits for the logger to have written its tail. The end of its streams has come by itself; then it is told, and then it is killed.
func (l *logger) end() {
	for _, sig := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		if sig != 0 {
			_ = l.child.Signal(sig) // gone is fine
		}
		timer := time.NewTimer(loggerEnd)
		select {
		case <-l.child.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
