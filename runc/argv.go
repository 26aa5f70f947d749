package runc

import (
	"os"
	"strconv"
	"syscall"
)

// argvRoom is enough for any command line without a growing slice.
const argvRoom = 24

// CreateOptions are what Create takes besides the id.
type CreateOptions struct {
	Bundle        string // the bundle's directory
	PidFile       string // where the runtime writes init's pid
	ConsoleSocket string // where it sends the terminal's master; empty: no terminal
	NoPivot       bool
	NoNewKeyring  bool
	Files         [3]*os.File // init's standard streams, borrowed; nil is /dev/null
}

func (o *CreateOptions) args(id string) []string {
	a := append(make([]string, 0, argvRoom), "create", "--bundle", o.Bundle, "--pid-file", o.PidFile)
	a = appendValue(a, "--console-socket", o.ConsoleSocket)
	a = appendFlag(a, "--no-pivot", o.NoPivot)
	a = appendFlag(a, "--no-new-keyring", o.NoNewKeyring)
	return append(a, id)
}

// ExecOptions are what Exec takes besides the id.
type ExecOptions struct {
	ProcessFile   string // an OCI process as JSON
	PidFile       string // where the runtime writes the process's pid
	ConsoleSocket string // as in CreateOptions
	Files         [3]*os.File

	// Log is a log of this exec's own, so that execs side by side do not get
	// each other's errors; empty is the Runtime's.
	Log string
}

func (o *ExecOptions) args(id string) []string {
	a := append(make([]string, 0, argvRoom), "exec", "--process", o.ProcessFile)
	a = appendValue(a, "--console-socket", o.ConsoleSocket)
	return append(a, "--detach", "--pid-file", o.PidFile, id)
}

// CheckpointOptions are what Checkpoint takes besides the id.
type CheckpointOptions struct {
	ImagePath       string   // where the image is written
	WorkPath        string   // CRIU's logs
	ParentPath      string   // an earlier image of a chain
	OpenTCP         bool     // open TCP connections are allowed
	ExternalSockets bool     // and unix sockets that lead outside
	Terminal        bool     // and terminals
	FileLocks       bool     // and file locks
	EmptyNamespaces []string // made anew instead of dumped
	LeaveRunning    bool
}

func (o *CheckpointOptions) args(id string) []string {
	a := append(make([]string, 0, argvRoom), "checkpoint")
	a = appendValue(a, "--image-path", o.ImagePath)
	a = appendValue(a, "--work-path", o.WorkPath)
	a = appendValue(a, "--parent-path", o.ParentPath)
	a = appendFlag(a, "--tcp-established", o.OpenTCP)
	a = appendFlag(a, "--ext-unix-sk", o.ExternalSockets)
	a = appendFlag(a, "--shell-job", o.Terminal)
	a = appendFlag(a, "--file-locks", o.FileLocks)
	for _, ns := range o.EmptyNamespaces {
		a = append(a, "--empty-ns", ns)
	}
	a = appendFlag(a, "--leave-running", o.LeaveRunning)
	return append(a, id)
}

// RestoreOptions are what Restore takes besides the id.
type RestoreOptions struct {
	CreateOptions        // NoNewKeyring is not used
	ImagePath     string // the image to restore
	WorkPath      string // CRIU's logs
	ParentPath    string // an earlier image of a chain
}

func (o *RestoreOptions) args(id string) []string {
	a := append(make([]string, 0, argvRoom), "restore", "--image-path", o.ImagePath, "--work-path", o.WorkPath)
	a = appendValue(a, "--parent-path", o.ParentPath)
	a = append(a, "--detach", "--pid-file", o.PidFile)
	a = appendValue(a, "--console-socket", o.ConsoleSocket)
	a = appendFlag(a, "--no-pivot", o.NoPivot)
	return append(a, "-no-subreaper", "--bundle", o.Bundle, id)
}

func deleteArgs(id string, force bool) []string {
	return append(appendFlag([]string{"delete"}, "--force", force), id)
}

func killArgs(id string, sig syscall.Signal, all bool) []string {
	return append(appendFlag([]string{"kill"}, "--all", all), id, strconv.Itoa(int(sig)))
}

// args is the whole command line, argv[0] included. Of the global flags --log is
// never the first: containerd's test wrapper runc-fp looks for it behind that.
func (r *Runtime) args(c *call) []string {
	a := append(make([]string, 0, argvRoom), r.name())
	a = appendValue(a, "--root", r.Root)
	switch {
	case c.log != "" && r.Root != "":
		a = append(a, "--log", c.log, "--log-format", "json")
	case c.log != "":
		a = append(a, "--log-format", "json", "--log", c.log)
	}
	a = appendFlag(a, "--systemd-cgroup", r.SystemdCgroup)
	return append(a, c.argv...)
}

func appendFlag(a []string, name string, on bool) []string {
	if on {
		return append(a, name)
	}
	return a
}

func appendValue(a []string, name, value string) []string {
	if value != "" {
		return append(a, name, value)
	}
	return a
}
