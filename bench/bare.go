package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bareVerb makes this program the floor beside the shims: it does the least that anybody must do who stands behind a container's output, one system
// call at a time, in a process of its own. `bench bare splice` moves pages from the pipe at descriptor 3 to the FIFO at 4; `bench bare read` reads the
// terminal at 3 and throws away what it has got. At the end it prints the number of bytes, and waits for the end of its input to be looked at.
const bareVerb = "bare"

// bareMax is what a call may move: the largest pipe of an unprivileged user.
const bareMax = 1 << 20

func bareLoop(args []string) int {
	debug.SetGCPercent(-1) // nothing is allocated
	step := spliceOnce
	if args[0] == "read" {
		step = readOnce
	}
	var sum int64
	buf := make([]byte, bareMax)
	for {
		n, err := step(buf)
		if err == unix.EINTR {
			continue
		}
		if err != 0 && err != unix.EIO { // EIO: nobody has the terminal open any more
			return 1
		}
		if n == 0 || err != 0 {
			break
		}
		sum += int64(n)
	}
	_ = unix.Close(4) // a terminal's has none
	fmt.Println(sum)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// spliceOnce and readOnce go past the scheduler of Go, which would look after a thread that blocks: there is no other.
func spliceOnce([]byte) (uintptr, unix.Errno) {
	n, _, err := unix.RawSyscall6(unix.SYS_SPLICE, 3, 0, 4, 0, bareMax, unix.SPLICE_F_MOVE)
	return n, err
}

func readOnce(buf []byte) (uintptr, unix.Errno) {
	n, _, err := unix.RawSyscall(unix.SYS_READ, 3, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	return n, err
}

// rawStream runs one load with no shim: runc, and the bare loop behind it.
func (l *lab) rawStream(ctx context.Context, load load) error {
	ctx, cancel := context.WithTimeout(ctx, 5*callMax)
	defer cancel()
	b, err := l.newBox(contender{name: rawName}, load.terminal, writerPath, writerVerb, strconv.Itoa(load.size), strconv.Itoa(load.total))
	if err != nil {
		return err
	}
	start := b.barePipe
	if load.terminal {
		start = b.bareTerminal
	}
	loop, err := start(ctx)
	if err != nil {
		return err
	}
	defer loop.end()
	if err := l.clock(load, rawName, loop.cmd.Process.Pid, func() error { return l.raw(ctx, "start", b.id) }, loop.bytes); err != nil {
		return err
	}
	return errors.Join(l.raw(ctx, "delete", "--force", b.id), b.clear())
}

// bare is a process that runs bareLoop.
type bare struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *bufio.Reader
	bytes func() (int64, error) // waits for the end of the stream
	files []*os.File
}

// startBare hands files to the process as descriptors 3 and up.
func startBare(what string, files ...*os.File) (*bare, error) {
	r := &bare{cmd: exec.Command("/proc/self/exe", bareVerb, what), files: files}
	r.cmd.Env, r.cmd.ExtraFiles = []string{"GOMAXPROCS=1"}, files
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.in, r.out = in, bufio.NewReader(out)
	r.bytes = r.count
	return r, r.cmd.Start()
}

// count is what the process says that it has read.
func (r *bare) count() (int64, error) {
	line, err := r.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("bare loop: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(line), 10, 64)
}

func (r *bare) end() {
	_ = r.in.Close()
	_ = r.cmd.Wait()
	for _, f := range r.files {
		_ = f.Close()
	}
}

// barePipe creates the container with a pipe for standard output, which is spliced to a FIFO that is read here, as the shims' is.
func (b *box) barePipe(ctx context.Context) (*bare, error) {
	path := filepath.Join(b.dir, "stdout")
	read, err := openReaders(streams{stdout: path})
	if err != nil {
		return nil, err
	}
	fifo, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for _, f := range []*os.File{r, fifo} { // Fd makes them blocking, too
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, bareMax); err != nil {
			return nil, fmt.Errorf("grow pipe: %w", err)
		}
	}
	if err := b.rawCreate(ctx, w); err != nil {
		return nil, err
	}
	loop, err := startBare("splice", r, fifo)
	if err != nil {
		return nil, err
	}
	_ = fifo.Close() // the loop's is the last one, and its end the reader's
	loop.bytes = read.discard
	loop.files = append(loop.files, read.files...)
	return loop, nil
}

// bareTerminal creates the container with a terminal, which is read and thrown away.
func (b *box) bareTerminal(ctx context.Context) (*bare, error) {
	path := filepath.Join(b.dir, "tty.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	if err := b.rawCreate(ctx, nil, "--console-socket", path); err != nil {
		return nil, err
	}
	conn, err := ln.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	master, err := receiveFile(conn)
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	return startBare("read", master)
}

// rawCreate creates the container; its standard output is out, if it has no terminal.
func (b *box) rawCreate(ctx context.Context, out *os.File, args ...string) error {
	args = append(append([]string{"--root", filepath.Join(b.l.work, "raw"), "create", "--bundle", b.dir}, args...), b.id)
	cmd := exec.CommandContext(ctx, b.l.runc, args...)
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("runc create: %w", err)
	}
	return nil
}

// receiveFile takes the one descriptor that is sent, in blocking mode.
func receiveFile(conn *net.UnixConn) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 4096), oob)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(msgs) != 1 {
		return nil, fmt.Errorf("%d messages", len(msgs))
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), unix.SetNonblock(fds[0], false)
}
