package shim

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/bundle"
)

func openTestLog(t *testing.T, dir string, debug bool) *Logger {
	t.Helper()
	l, err := OpenLog(dir, "ns", "c1", debug)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func makeLogFIFO(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, bundle.LogFile), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readLog reads what is in the FIFO now, as a daemon that has come back does.
func readLog(t *testing.T, dir string) string {
	t.Helper()
	fd, err := unix.Open(filepath.Join(dir, bundle.LogFile), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var all bytes.Buffer
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Write(buf[:n])
	}
}

func TestALogLineLooksLikeContainerds(t *testing.T) {
	dir := makeLogFIFO(t)
	l := openTestLog(t, dir, false)
	l.Debug("not wanted")
	l.Error("it \"broke\"", "error", errors.New("no such file"), "n", 3, "path", "/a/b")
	want := regexp.MustCompile(`^time="\d{4}-\d\d-\d\dT[0-9:.]{18}(Z|[+-][0-9:]{5})" level=error msg="it \\"broke\\"" id=c1 namespace=ns error="no such file" n=3 path=/a/b\n$`)
	if got := readLog(t, dir); !want.MatchString(got) {
		t.Errorf("line is %q", got)
	}
	d := openTestLog(t, dir, true)
	d.Debug("wanted")
	if got := readLog(t, dir); !strings.Contains(got, "level=debug msg=\"wanted\"") {
		t.Errorf("line is %q", got)
	}
}

func TestLoggingNeverBlocksAndSaysWhatWasDropped(t *testing.T) {
	dir := makeLogFIFO(t)
	l := openTestLog(t, dir, false)
	const lines = 5000
	for i := range lines { // nobody reads: the pipe is full long before the end
		l.Info("line", "n", i, "pad", strings.Repeat("x", 100))
	}
	kept := readLog(t, dir)
	if !strings.HasSuffix(kept, "\n") || strings.Count(kept, "\n") >= lines {
		t.Fatalf("%d lines are kept", strings.Count(kept, "\n"))
	}
	l.Info("reader is back")
	rest := readLog(t, dir)
	first, second, _ := strings.Cut(rest, "\n")
	if !strings.Contains(first, "log lines dropped") || !strings.Contains(second, "reader is back") {
		t.Errorf("after the gap come %q and %q", first, second)
	}
	written, dropped := strings.Count(kept, "msg=\"line\""), 0
	for _, m := range regexp.MustCompile(`dropped=(\d+)\n`).FindAllStringSubmatch(kept+rest, -1) {
		n, _ := strconv.Atoi(m[1])
		dropped += n
	}
	if written == 0 || written+dropped != lines {
		t.Errorf("%d lines are written and %d said to be dropped, of %d", written, dropped, lines)
	}
	if s := string(l.AppendStatus(nil)); s != "log lines dropped="+strconv.Itoa(dropped)+"\n" {
		t.Errorf("status is %q", s)
	}
}

func TestLinesWaitForAReaderThatComesBack(t *testing.T) {
	dir := makeLogFIFO(t)
	l := openTestLog(t, dir, false)
	for _, msg := range []string{"one", "two", "three"} { // a reader comes and goes between them
		l.Info(msg)
		if got := readLog(t, dir); strings.Count(got, "\n") != 1 || !strings.Contains(got, msg) {
			t.Fatalf("read %q, want %s", got, msg)
		}
	}
}

func TestALongLineIsCutNotTorn(t *testing.T) {
	dir := makeLogFIFO(t)
	l := openTestLog(t, dir, false)
	l.Info("long", "text", strings.Repeat("y", 3*logLineMax))
	if _, err := l.Write([]byte(strings.Repeat("z", 3*logLineMax) + "\n")); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(readLog(t, dir), "\n")
	if len(got) != 3 || len(got[0]) != logLineMax-1 || len(got[1]) != logLineMax-1 || !strings.HasSuffix(got[0], "...") {
		t.Errorf("%d lines, the first of %d bytes", len(got)-1, len(got[0]))
	}
}

func TestWithoutAFIFOTheLogIsAPrivateFile(t *testing.T) {
	for _, prepare := range []func(dir string) error{
		func(string) error { return nil },
		func(dir string) error { return os.WriteFile(filepath.Join(dir, bundle.LogFile), []byte("keep"), 0o644) },
	} {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		l := openTestLog(t, dir, false)
		l.Warn("hello")
		path := filepath.Join(dir, bundle.ShimLogFile)
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), "hello") {
			t.Fatalf("the file has %q, %v", data, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode is %v, %v", info.Mode(), err)
		}
	}
}

func TestANilLoggerDiscards(t *testing.T) {
	var l *Logger
	l.Debug("x")
	l.Error("x")
	l.Close()
	if n, err := l.Write([]byte("x")); n != 1 || err != nil {
		t.Error(n, err)
	}
}
