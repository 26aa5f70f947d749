package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
)

// logLineMax is the longest line written. A write of that size to a FIFO is whole or not at all (PIPE_BUF), so lines of the
// shim, of ttrpc and of a reader that comes late are never mixed up.
const logLineMax = 4096

// logTimeFormat is RFC 3339 with all nine digits, as containerd's own log has it.
const logTimeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Logger writes the server's log: a line of text per message, in the form of containerd's own log.
//
// It writes to the bundle's FIFO `log`, which the daemon reads, or to the file shim.log when there is none. Logging never
// blocks the shim. The FIFO is opened for reading and writing, without blocking: so there is always somebody who has it
// open for reading, a daemon may go and come back without an error here, and what is logged in the meantime waits in the
// pipe for it (64 KiB). Lines that find the pipe full are dropped, and the next one that is written says how many.
//
// A nil Logger discards everything.
type Logger struct {
	debug  bool
	prefix string // fields of every line: which shim speaks

	mu sync.Mutex
	// mu guards what follows.
	fd      int
	buf     []byte
	dropped uint64 // lines not yet accounted for in the log
	lost    uint64 // lines dropped in all
}

// OpenLog opens the log of the shim id in the bundle dir. The caller closes it.
func OpenLog(dir, namespace, id string, debug bool) (*Logger, error) {
	fd, err := openLogFIFO(filepath.Join(dir, bundle.LogFile))
	if err != nil {
		fd, err = openLogFile(filepath.Join(dir, bundle.ShimLogFile))
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	prefix := " id=" + quoteValue(id) + " namespace=" + quoteValue(namespace)
	return &Logger{debug: debug, prefix: prefix, fd: fd}, nil
}

func openLogFIFO(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("open %s: not a FIFO", path)
	}
	return fd, nil
}

func openLogFile(path string) (int, error) {
	flags := unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// TakeStderr makes the log the process's standard error, where the Go runtime reports a crash, and the destination of
// ttrpc's own messages. It is for the server alone: it changes the whole process.
func (l *Logger) TakeStderr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := unix.Dup3(l.fd, unix.Stderr, 0); err != nil {
		return fmt.Errorf("duplicate log to standard error: %w", err)
	}
	_ = unix.Close(l.fd)
	l.fd = unix.Stderr
	log.L.Logger.SetOutput(l)
	return nil
}

// Close closes the log; what is logged afterwards is discarded. Standard error stays open.
func (l *Logger) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd > unix.Stderr {
		_ = unix.Close(l.fd)
	}
	l.fd = -1
}

// Debug logs msg if the shim was started with -debug. kv are pairs of a key and a value, here and below.
func (l *Logger) Debug(msg string, kv ...any) {
	if l != nil && l.debug {
		l.log("debug", msg, kv)
	}
}

// Info logs what an operator wants to see when all is well.
func (l *Logger) Info(msg string, kv ...any) { l.log("info", msg, kv) }

// Warn logs what went wrong without harm to a container.
func (l *Logger) Warn(msg string, kv ...any) { l.log("warning", msg, kv) }

// Error logs what went wrong.
func (l *Logger) Error(msg string, kv ...any) { l.log("error", msg, kv) }

func (l *Logger) log(level, msg string, kv []any) {
	if l == nil {
		return
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.headLocked(now, level, msg)
	for i := 0; i+1 < len(kv); i += 2 {
		b = append(b, ' ')
		b = append(b, fmt.Sprint(kv[i])...)
		b = append(b, '=')
		b = append(b, quoteValue(fmt.Sprint(kv[i+1]))...)
	}
	l.buf = b[:0]
	l.writeLocked(b)
}

// headLocked begins a line in the logger's buffer.
func (l *Logger) headLocked(now time.Time, level, msg string) []byte {
	b := append(l.buf[:0], `time="`...)
	b = now.AppendFormat(b, logTimeFormat)
	b = append(b, `" level=`...)
	b = append(b, level...)
	b = append(b, " msg="...)
	b = strconv.AppendQuote(b, msg)
	return append(b, l.prefix...)
}

// Write writes p, one line that is formatted already, under the same rules. It never fails: the line is dropped and counted.
func (l *Logger) Write(p []byte) (int, error) {
	if l == nil {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	line := make([]byte, 0, min(len(p)+1, logLineMax))
	l.writeLocked(append(line, strings.TrimSuffix(string(p), "\n")...))
	return len(p), nil
}

// writeLocked writes a line, and before it how many were dropped, if any.
func (l *Logger) writeLocked(line []byte) {
	if l.fd < 0 {
		return
	}
	if l.dropped > 0 {
		notice := fmt.Appendf(nil, "time=%q level=warning msg=\"log lines dropped\"%s dropped=%d",
			time.Now().Format(logTimeFormat), l.prefix, l.dropped)
		if !l.writeLineLocked(notice) {
			l.dropped++
			l.lost++
			return
		}
		l.dropped = 0
	}
	if !l.writeLineLocked(line) {
		l.dropped++
		l.lost++
	}
}

func (l *Logger) writeLineLocked(line []byte) bool {
	if len(line) > logLineMax-1 {
		line = append(line[:logLineMax-4], "..."...)
	}
	line = append(line, '\n')
	for {
		n, err := unix.Write(l.fd, line)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n == len(line)
	}
}

// AppendStatus adds the logger's counter to b, for a dump.
func (l *Logger) AppendStatus(b []byte) []byte {
	if l == nil {
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Appendf(b, "log lines dropped=%d\n", l.lost)
}

// quoteValue quotes s where it would not read as one word.
func quoteValue(s string) string {
	if s == "" {
		return `""`
	}
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '=' || r == '\\' || r >= 0x7f {
			return strconv.Quote(s)
		}
	}
	return s
}
