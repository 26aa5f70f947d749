package stdio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tty "github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen: long, for the machine may be busy.
const patience = 30 * time.Second

// roleEnv makes the test binary be a container's process or a logging binary.
const roleEnv = "STDIO_TEST_ROLE"

func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 && os.Getenv("CONTAINER_ID") != "" { // a logger gets no other environment
		role = append([]string{"log"}, os.Args[1:]...)
	}
	if len(role) == 0 {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, "role", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role []string) error {
	switch role[0] {
	case "write": // TOTAL CHUNK FD...: writes of CHUNK bytes, or random ones below it
		for _, fd := range role[3:] {
			n, _ := strconv.Atoi(fd)
			if err := produce(os.NewFile(uintptr(n), "out"), number(role[1]), number(role[2])); err != nil {
				return err
			}
		}
		return nil
	case "stall": // TOTAL: fills fd 1, and writes to fd 2 meanwhile
		go produce(os.Stdout, 1<<30, 4096)
		err := produce(os.Stderr, number(role[1]), 4096)
		os.Stderr.Close()
		io.Copy(io.Discard, os.Stdin) // until the test closes it
		return err
	case "cat":
		_, err := io.Copy(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{os.Stdin})
		return err
	case "read": // prints the checksum of the input
		sum, err := checksum(os.Stdin)
		fmt.Println(sum)
		return err
	case "drain": // of the benchmarks
		b := make([]byte, 1<<20)
		for {
			if _, err := os.Stdin.Read(b); err != nil {
				return nil
			}
		}
	case "log":
		return playLogger(role[1:])
	}
	return fmt.Errorf("no such role")
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// text is what producers repeat: printable, so that a terminal changes nothing, and of odd length, so that a lost piece shows.
var text = sync.OnceValue(func() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<20-3)
	for i := range b {
		b[i] = byte('a' + rng.IntN(26))
	}
	return b
})

// produce writes total bytes. A negative chunk means random sizes below it.
func produce(w io.Writer, total, chunk int) error {
	block := text()
	rng := rand.New(rand.NewPCG(3, 4))
	for at := 0; at < total; {
		n := chunk
		if chunk < 0 {
			n = 1 + rng.IntN(-chunk)
		}
		from := at % len(block)
		n = min(n, total-at, len(block)-from)
		if _, err := w.Write(block[from : from+n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// produced is the checksum of what produce writes.
func produced(total int) string {
	block := text()
	h := sha256.New()
	for at := 0; at < total; {
		n := min(total-at, len(block))
		h.Write(block[:n])
		at += n
	}
	return fmt.Sprintf("%d:%s", total, hex.EncodeToString(h.Sum(nil)))
}

func checksum(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, struct{ io.Reader }{r})
	return fmt.Sprintf("%d:%s", n, hex.EncodeToString(h.Sum(nil))), err
}

func mkfifo(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, cfg Config) *Streams {
	t.Helper()
	if cfg.Dir == "" && cfg.Terminal {
		cfg.Dir = t.TempDir()
	}
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func attach(t testing.TB, s *Streams) {
	t.Helper()
	if err := s.Attach(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// process is a container's process.
type process struct {
	*exec.Cmd
	t testing.TB
}

func roleCommand(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleEnv + "=" + role, "GOCOVERDIR=" + os.TempDir()}
	return cmd
}

// start runs a role, or a shell script, as the process of streams without a terminal, and attaches.
func start(t testing.TB, s *Streams, role string) *process {
	t.Helper()
	cmd := roleCommand(role)
	if script, ok := strings.CutPrefix(role, "sh:"); ok {
		cmd = exec.Command("/bin/busybox", "sh", "-c", script)
	}
	f := s.Files()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f[0], f[1], f[2]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	attach(t, s)
	p := &process{cmd, t}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return p
}

// startTerminal does what a runtime does: it makes a terminal, starts the process on it and sends the master.
func startTerminal(t testing.TB, s *Streams, role string) *process {
	t.Helper()
	cmd := roleCommand(role)
	if script, ok := strings.CutPrefix(role, "sh:"); ok {
		cmd = exec.Command("/bin/busybox", "sh", "-c", script)
	}
	master, slave, err := tty.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(slave, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	sendMaster(t, s.ConsoleSocket(), int(master.Fd()))
	master.Close()
	f.Close()
	attach(t, s)
	return &process{cmd, t}
}

func sendMaster(t testing.TB, socket string, fd int) {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.WriteMsgUnix([]byte("/dev/pts/0"), unix.UnixRights(fd), nil); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the process and tells the streams.
func (p *process) wait(s *Streams) {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { p.Process.Kill() })
	defer timer.Stop()
	if err := p.Wait(); err != nil {
		p.t.Errorf("process: %v", err)
	}
	s.ProcessExited()
}

// finish drains and closes.
func finish(t testing.TB, s *Streams) {
	t.Helper()
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// readAll reads a FIFO to its end, on a goroutine of its own, and sends the checksum.
func readAll(t testing.TB, path string) <-chan string {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return sumOf(f)
}

func sumOf(f *os.File) <-chan string {
	got := make(chan string, 1)
	go func() {
		sum, err := checksum(f)
		f.Close()
		if err != nil {
			sum = err.Error()
		}
		got <- sum
	}()
	return got
}

func expect(t testing.TB, what string, got <-chan string, want string) {
	t.Helper()
	select {
	case sum := <-got:
		if sum != want {
			t.Errorf("%s: got %q, want %q", what, sum, want)
		}
	case <-time.After(patience):
		t.Fatalf("%s: nothing after %v", what, patience)
	}
}

// text of an output file or stream.
func sumText(s string) string {
	sum, _ := checksum(strings.NewReader(s))
	return sum
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
