package runctest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// waitScript is init until it is started: it blocks in opening the FIFO, which is
// $0, and then becomes the command.
const waitScript = `echo > "$0" || exit 126; exec "$@"`

// resolve finds the command in the process's own PATH, and tells what is wrong with it
// as runc does.
func (p *Process) resolve() error {
	if len(p.Args) == 0 {
		return errors.New("args must not be empty")
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if info, err := os.Stat(p.Cwd); err != nil || !info.IsDir() {
		return fmt.Errorf("chdir to cwd (%q) set in config.json failed: no such file or directory", p.Cwd)
	}
	name := p.Args[0]
	if !strings.Contains(name, "/") {
		for _, kv := range p.Env {
			if value, ok := strings.CutPrefix(kv, "PATH="); ok {
				for _, dir := range filepath.SplitList(value) {
					if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
						p.Args[0] = filepath.Join(dir, name)
						return nil
					}
				}
			}
		}
		return &exec.Error{Name: name, Err: exec.ErrNotFound}
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return &exec.Error{Name: name, Err: err}
	case info.IsDir():
		return &exec.Error{Name: name, Err: syscall.EISDIR}
	case info.Mode()&0o111 == 0:
		return &exec.Error{Name: name, Err: syscall.EACCES}
	}
	return nil
}

// startInit starts init, which waits at the FIFO.
func (f *fake) startInit(p *Process, c *container) (int, error) {
	sys := &syscall.SysProcAttr{Setsid: true}
	if !c.Shared {
		sys.Cloneflags = unix.CLONE_NEWPID
	}
	args := append([]string{"/bin/sh", "-c", waitScript, f.file(fifoName)}, p.Args...)
	return f.spawn(p, args, sys)
}

func (f *fake) exec() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	switch f.status(c) {
	case "stopped":
		return errors.New("cannot exec in a stopped container")
	case "paused":
		return errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	file, err := os.Open(f.process)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	p := new(Process)
	if err := json.NewDecoder(file).Decode(p); err != nil {
		return err
	}
	if err := p.resolve(); err != nil {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	// What the process starts is born there. This process ends with the call.
	if err := joinCgroups(c.Cgroup, os.Getpid()); err != nil {
		return err
	}
	if !c.Shared {
		// The children of this thread are born into the namespace. Main is all that runs
		// on it, and this process ends soon: it stays locked.
		runtime.LockOSThread()
		if err := enterPIDNamespace(c.Pid); err != nil {
			return err
		}
	}
	pid, err := f.spawn(p, p.Args, &syscall.SysProcAttr{Setsid: true})
	if err != nil {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	return f.writePid(pid)
}

func enterPIDNamespace(pid int) error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.New("cannot exec in a stopped container")
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	if err := unix.Setns(fd, unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter pid namespace: %w", err)
	}
	return nil
}

// spawn starts a process with this call's standard streams, or with a terminal whose
// master it sends away. The process becomes an orphan when the call ends.
func (f *fake) spawn(p *Process, args []string, sys *syscall.SysProcAttr) (int, error) {
	attr := &syscall.ProcAttr{Dir: p.Cwd, Env: p.Env, Files: []uintptr{0, 1, 2}, Sys: sys}
	if p.Terminal {
		master, slave, err := openTerminal(p.ConsoleSize)
		if err != nil {
			return 0, err
		}
		defer master.Close() //nolint:errcheck // the receiver has its own
		defer slave.Close()  //nolint:errcheck // the child has its own
		if err := sendMaster(f.console, master); err != nil {
			return 0, err
		}
		attr.Files = []uintptr{slave.Fd(), slave.Fd(), slave.Fd()}
		sys.Setctty = true // descriptor 0 of the child
	}
	return syscall.ForkExec(args[0], args, attr)
}

// openTerminal makes a pty.
func openTerminal(s *size) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil && s != nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Height, Col: s.Width})
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = master.Close() // the first error is the one to tell
		return nil, nil, err
	}
	return master, slave, nil
}

// sendMaster sends a pty's master over a socket (OCI runtimes: --console-socket).
func sendMaster(socket string, master *os.File) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the message is sent by then
	_, _, err = conn.(*net.UnixConn).WriteMsgUnix([]byte(master.Name()), unix.UnixRights(int(master.Fd())), nil)
	return err
}
