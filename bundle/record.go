package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// exitDraft is the exit record until init ends: empty.
	exitDraft = ".exit.json"
	// maxRecord bounds the small files, in bytes.
	maxRecord = 1 << 20
	// exitRoom is enough for any exit record, in bytes.
	exitRoom = 192
	// optionsRoom is enough for most options, in bytes.
	optionsRoom = 256
)

// Options are the options of containerd's runc shim, containerd.runc.v1.Options.
// Names in JSON are those that encoding/json gives containerd's generated type,
// so that either's delete action reads the other's options.json. Field names are
// containerd's too.
type Options struct {
	NoPivotRoot    bool   `json:"no_pivot_root,omitempty"`    // chroot instead of pivot_root
	NoNewKeyring   bool   `json:"no_new_keyring,omitempty"`   // the container keeps the caller's session keyring
	ShimCgroup     string `json:"shim_cgroup,omitempty"`      // the cgroup that the shim joins
	IoUid          uint32 `json:"io_uid,omitempty"`           // owner of the container's stdio pipes
	IoGid          uint32 `json:"io_gid,omitempty"`           // group of the container's stdio pipes
	BinaryName     string `json:"binary_name,omitempty"`      // the OCI runtime: a name in PATH or a path; empty means runc
	Root           string `json:"root,omitempty"`             // where the runtime keeps its state, a directory per namespace
	SystemdCgroup  bool   `json:"systemd_cgroup,omitempty"`   // cgroups are made by systemd
	CriuImagePath  string `json:"criu_image_path,omitempty"`  // the manager's alone
	CriuWorkPath   string `json:"criu_work_path,omitempty"`   // CRIU's work directory on restore; empty means WorkDir
	TaskApiAddress string `json:"task_api_address,omitempty"` // the manager's alone
	TaskApiVersion uint32 `json:"task_api_version,omitempty"` // the manager's alone
}

// Exit is how the container's init ended. It is written before the exit is
// announced, so that it is known when the shim dies afterwards.
type Exit struct {
	Pid      int       `json:"pid"`
	Status   int       `json:"status"`      // the exit code, or 128 + Signal
	Signal   int       `json:"signal"`      // what killed it; 0 when it exited
	Core     bool      `json:"core_dumped"` // a core was dumped
	OOM      bool      `json:"oom_killed"`  // the kernel killed in the container for want of memory
	ExitedAt time.Time `json:"exited_at"`   // RFC 3339 with nanoseconds
}

// WriteOptions writes options.json.
func (d Dir) WriteOptions(o Options) error {
	return WriteFile(d.File(OptionsFile), o.json(), privateMode)
}

// json is what encoding/json would make of o.
func (o Options) json() []byte {
	return make(object, 0, optionsRoom).
		flag("no_pivot_root", o.NoPivotRoot).flag("no_new_keyring", o.NoNewKeyring).text("shim_cgroup", o.ShimCgroup).
		number("io_uid", o.IoUid).number("io_gid", o.IoGid).
		text("binary_name", o.BinaryName).text("root", o.Root).flag("systemd_cgroup", o.SystemdCgroup).
		text("criu_image_path", o.CriuImagePath).text("criu_work_path", o.CriuWorkPath).
		text("task_api_address", o.TaskApiAddress).number("task_api_version", o.TaskApiVersion).
		bytes()
}

// ReadOptions reads options.json. One that is not there (no Create came so far) is
// an error that wraps fs.ErrNotExist.
func (d Dir) ReadOptions() (Options, error) {
	var o Options
	err := d.readJSON(OptionsFile, &o)
	return o, err
}

// WriteRuntime writes the runtime's binary, as the options name it.
func (d Dir) WriteRuntime(binary string) error {
	return WriteFile(d.File(RuntimeFile), []byte(binary), privateMode)
}

// ReadRuntime reads what WriteRuntime wrote. A file that is not there is an error
// that wraps fs.ErrNotExist.
func (d Dir) ReadRuntime() (string, error) {
	data, _, err := readFile(d.File(RuntimeFile), maxRecord)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", RuntimeFile, err)
	}
	return string(data), nil
}

// PrepareExit makes the file that WriteExit fills and gives its name: making it takes longer than all the rest, and can be done while init lives.
func (d Dir) PrepareExit() error {
	path := d.File(exitDraft)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, privateMode)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", ExitFile, err)
	}
	err = unix.Fchmod(fd, privateMode) // whatever the umask
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("prepare %s: %w", ExitFile, err)
	}
	return nil
}

// DropExit removes what PrepareExit made, if the shim died before init did.
func (d Dir) DropExit() error {
	if err := unix.Unlink(d.File(exitDraft)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove draft of %s: %w", ExitFile, err)
	}
	return nil
}

// WriteExit writes the exit record, whole or not at all. The announcement of the exit waits for it: hence PrepareExit, without which it makes the file itself.
func (d Dir) WriteExit(e Exit) error {
	data := e.appendJSON(make([]byte, 0, exitRoom))
	draft := d.File(exitDraft)
	fd, err := unix.Open(draft, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return WriteFile(d.File(ExitFile), data, privateMode)
	}
	err = WriteAll(fd, data)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = unix.Rename(draft, d.File(ExitFile))
	}
	if err != nil {
		_ = unix.Unlink(draft) // the first error is the one to tell
		return fmt.Errorf("write %s: %w", ExitFile, err)
	}
	return nil
}

// appendJSON adds what encoding/json would make of e with its time in UTC. Using that for the first time costs 0.2 ms, a third of it for the local time zone.
func (e Exit) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"pid":`...), int64(e.Pid), 10)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(e.Status), 10)
	b = strconv.AppendInt(append(b, `,"signal":`...), int64(e.Signal), 10)
	b = strconv.AppendBool(append(b, `,"core_dumped":`...), e.Core)
	b = strconv.AppendBool(append(b, `,"oom_killed":`...), e.OOM)
	b = e.ExitedAt.UTC().AppendFormat(append(b, `,"exited_at":"`...), time.RFC3339Nano)
	return append(b, `"}`...)
}

// ReadExit reads the exit record. One that is not there (init lives, or died
// unseen) is an error that wraps fs.ErrNotExist.
func (d Dir) ReadExit() (Exit, error) {
	var e Exit
	err := d.readJSON(ExitFile, &e)
	return e, err
}

func (d Dir) readJSON(name string, v any) error {
	data, _, err := readFile(d.File(name), maxRecord)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	return nil
}
