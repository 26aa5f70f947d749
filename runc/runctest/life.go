package runctest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fifoName is the FIFO that init waits at to be started, as runc's does.
const fifoName = "exec.fifo"

const (
	pollInterval = 2 * time.Millisecond // between two looks at what cannot be waited for
	dieTimeout   = 10 * time.Second     // for a killed init to be gone, as in runc
)

func (f *fake) create() (err error) {
	s, err := readSpec(f.bundle)
	if err != nil {
		return err
	}
	if f.id == "" || f.id != filepath.Base(f.id) || f.id == ".." {
		return errors.New("invalid container ID format")
	}
	if err := os.MkdirAll(f.root, 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(f.home(), 0o711); errors.Is(err, os.ErrExist) {
		return errors.New(sayExists)
	} else if err != nil {
		return err
	}
	c := &container{Bundle: f.bundle, Shared: s.sharedPID()}
	if c.Cgroup, err = cleanCgroup(cmp.Or(s.Linux.CgroupsPath, f.ownCgroup())); err != nil {
		return errors.Join(err, os.Remove(f.home()))
	}
	defer func() {
		if err != nil {
			_ = f.destroyContainer(c) // the first error is the one to tell
		}
	}()
	if err := unix.Mkfifo(f.file(fifoName), 0o600); err != nil {
		return err
	}
	if err := s.Process.resolve(); err != nil {
		return fmt.Errorf("unable to start container process: error during container init: %w", err)
	}
	if c.Pid, err = f.startInit(s.Process, c); err != nil {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	_, c.Started = readStat(c.Pid)
	if err := joinCgroups(c.Cgroup, c.Pid); err != nil {
		return err
	}
	return f.record(c)
}

// record writes the state, then the pid file.
func (f *fake) record(c *container) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.file("state.json"), data, 0o600); err != nil {
		return err
	}
	return f.writePid(c.Pid)
}

func (f *fake) writePid(pid int) error {
	if f.pidFile == "" {
		return nil
	}
	temp := filepath.Join(filepath.Dir(f.pidFile), "."+filepath.Base(f.pidFile))
	if err := os.WriteFile(temp, strconv.AppendInt(nil, int64(pid), 10), 0o666); err != nil {
		return err
	}
	return os.Rename(temp, f.pidFile)
}

func readSpec(bundle string) (*spec, error) {
	file, err := os.Open(filepath.Join(bundle, "config.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("JSON specification file config.json not found")
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	s := new(spec)
	if err := json.NewDecoder(file).Decode(s); err != nil {
		return nil, err
	}
	if s.Process == nil {
		return nil, errors.New("process property must not be empty")
	}
	return s, nil
}

func (f *fake) start() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	switch f.status(c) {
	case "stopped":
		return errors.New("cannot start a container that has stopped")
	case "running", "paused":
		return errors.New("cannot start an already running container")
	}
	fifo, err := os.OpenFile(f.file(fifoName), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer fifo.Close() //nolint:errcheck // only read
	// Init writes a line as soon as somebody reads. Until it has opened the FIFO, a read
	// is at its end.
	var line [1]byte
	for {
		n, err := fifo.Read(line[:])
		if n > 0 {
			return os.Remove(f.file(fifoName))
		}
		if err != nil && err != io.EOF {
			return err
		}
		if !c.alive() {
			return errors.New("container process is already dead")
		}
		time.Sleep(pollInterval)
	}
}

func (f *fake) kill() error {
	c, err := f.load()
	if err != nil {
		return err
	}
	sig := syscall.SIGTERM
	if len(f.args) > 0 {
		n, err := strconv.Atoi(f.args[0])
		if err != nil {
			return fmt.Errorf("unknown signal %q", f.args[0])
		}
		sig = syscall.Signal(n)
	}
	if f.all {
		return signalAll(c.Cgroup, sig)
	}
	if !c.alive() {
		return errors.New(sayNotRunning)
	}
	if err := kill(c.Pid, sig); err != nil {
		return fmt.Errorf("unable to signal init: %w", err)
	}
	if sig == syscall.SIGKILL {
		return setFrozen(c.Cgroup, false)
	}
	return nil
}

func (f *fake) delete() error {
	c, err := f.load()
	if err != nil {
		if f.force {
			return f.destroy()
		}
		return err
	}
	if s := f.status(c); !f.force && s != "stopped" && s != "created" {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", f.id, s)
	}
	return f.destroyContainer(c)
}

// destroy removes whatever there is of the container.
func (f *fake) destroy() error {
	c, err := f.load()
	if err != nil {
		return os.RemoveAll(f.home())
	}
	return f.destroyContainer(c)
}

// destroyContainer kills the container, and removes its cgroups and its state, in
// this order: whose state is gone, is gone.
func (f *fake) destroyContainer(c *container) error {
	if c.Pid > 0 && c.alive() {
		if err := kill(c.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if err := removeCgroups(c.Cgroup); err != nil {
		return err
	}
	for deadline := time.Now().Add(dieTimeout); c.Pid > 0 && c.alive(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			return errors.New("container init still running")
		}
	}
	return os.RemoveAll(f.home())
}
