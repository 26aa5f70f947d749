package runctest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What runc says; the driver's tests compare it with the real one's words.
const (
	sayNotExist   = "container does not exist"
	sayExists     = "container with given ID already exists"
	sayNotRunning = "container not running"
	sayNotPaused  = "container not paused"
)

// Exit codes of runc.
const (
	exitFailure = 1
	exitExec    = 255 // of a failed exec
	exitUsage   = 3   // no such verb
)

// errSilent ends a call with exitFailure and no words.
var errSilent = errors.New("")

// fake is one call of the runtime.
type fake struct {
	dir  string // of the binary's link
	root string
	log  string
	verb string
	id   string
	args []string // behind the id

	bundle, pidFile, console, process string
	force, all                        bool
}

// run is the runtime's main function.
func run(argv []string) int {
	f := &fake{dir: filepath.Dir(argv[0])}
	if err := f.parse(argv[1:]); err != nil {
		f.fail(err.Error())
		return exitUsage
	}
	fault, err := f.findFault()
	if err != nil {
		f.fail("runctest: " + err.Error())
		return exitUsage
	}
	if fault != nil && !fault.After {
		if code, done := f.befall(fault); done {
			return code
		}
	}
	code := f.do()
	if fault != nil && fault.After {
		if c, done := f.befall(fault); done {
			return c
		}
	}
	return code
}

// do does the verb and reports its error as runc does.
func (f *fake) do() int {
	verbs := map[string]func() error{
		"create": f.create, "start": f.start, "exec": f.exec, "kill": f.kill, "delete": f.delete, "state": f.state, "ps": f.ps,
		"pause": f.pause, "resume": f.resume, "update": f.update, "features": f.features,
	}
	verb := verbs[f.verb]
	if verb == nil {
		f.fail(fmt.Sprintf("No help topic for '%s'", f.verb))
		return exitUsage
	}
	err := verb()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return exitFailure
	case f.verb == "create":
		f.fail("runc create failed: " + err.Error())
	case f.verb == "exec":
		f.fail("exec failed: " + err.Error())
		return exitExec
	default:
		f.fail(err.Error())
	}
	return exitFailure
}

// parse takes the command line apart.
func (f *fake) parse(args []string) error {
	global := flagSet("global")
	global.StringVar(&f.root, "root", "/run/wisp-fake-runc", "")
	global.StringVar(&f.log, "log", "", "")
	global.String("log-format", "text", "")
	global.Bool("systemd-cgroup", false, "")
	if err := global.Parse(args); err != nil {
		return err
	}
	f.verb = global.Arg(0)
	verb := flagSet(f.verb)
	verb.StringVar(&f.bundle, "bundle", "", "")
	verb.StringVar(&f.pidFile, "pid-file", "", "")
	verb.StringVar(&f.console, "console-socket", "", "")
	verb.StringVar(&f.process, "process", "", "")
	verb.BoolVar(&f.force, "force", false, "")
	verb.BoolVar(&f.all, "all", false, "")
	for _, ignored := range []string{"no-pivot", "no-new-keyring", "detach"} {
		verb.Bool(ignored, false, "")
	}
	for _, ignored := range []string{"format", "resources"} {
		verb.String(ignored, "", "")
	}
	if global.NArg() == 0 {
		return nil
	}
	if err := verb.Parse(global.Args()[1:]); err != nil {
		return err
	}
	if verb.NArg() > 0 {
		f.id, f.args = verb.Arg(0), verb.Args()[1:]
	}
	return nil
}

func flagSet(name string) *flag.FlagSet {
	s := flag.NewFlagSet(name, flag.ContinueOnError)
	s.SetOutput(io.Discard)
	return s
}

// fail says what went wrong, in the log and on standard error.
func (f *fake) fail(message string) {
	line, err := json.Marshal(map[string]string{
		"level": "error", "msg": message, "time": time.Now().UTC().Format(time.RFC3339),
	})
	if err == nil {
		f.logText(string(line) + "\n")
	}
	fmt.Fprintln(os.Stderr, message)
}

func (f *fake) logText(text string) {
	if f.log == "" {
		return
	}
	file, err := os.OpenFile(f.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o644)
	if err == nil {
		_, err = file.WriteString(text)
		_ = file.Close() // it was written through
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write log:", err)
	}
}

// container is what the fake keeps of a container.
type container struct {
	Pid     int    `json:"pid"`
	Started string `json:"started"` // of /proc/PID/stat: tells a recycled pid
	Bundle  string `json:"bundle"`
	Cgroup  string `json:"cgroup"`
	Shared  bool   `json:"shared"` // no pid namespace of its own
}

func (f *fake) home() string            { return filepath.Join(f.root, f.id) }
func (f *fake) file(name string) string { return filepath.Join(f.home(), name) }

// load finds the container.
func (f *fake) load() (*container, error) {
	data, err := os.ReadFile(f.file("state.json"))
	if errors.Is(err, os.ErrNotExist) || f.id == "" {
		return nil, errors.New(sayNotExist)
	}
	if err != nil {
		return nil, err
	}
	c := new(container)
	return c, json.Unmarshal(data, c)
}

// alive tells whether init is there and no zombie.
func (c *container) alive() bool {
	state, started := readStat(c.Pid)
	return started == c.Started && state != "Z" && state != "X"
}

// status is what runc calls the container's state.
func (f *fake) status(c *container) string {
	if !c.alive() {
		return "stopped"
	}
	if frozen(c.Cgroup) {
		return "paused"
	}
	if _, err := os.Stat(f.file(fifoName)); err == nil {
		return "created"
	}
	return "running"
}

// readStat returns a process's state and start time (proc_pid_stat(5)).
func readStat(pid int) (state, started string) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "X", ""
	}
	const stateField, startField = 0, 19 // behind the command, which ends with the last ')'
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) <= startField {
		return "X", ""
	}
	return fields[stateField], fields[startField]
}

func kill(pid int, sig syscall.Signal) error {
	if pid <= 0 {
		return errors.New(sayNotRunning)
	}
	return syscall.Kill(pid, sig)
}
