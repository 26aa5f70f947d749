package runctest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	faultFile = "faults.json" // beside the binary's link
	childFile = "children"    // there too: pids of children that faults have left
	childLife = 60            // how long such a child lives if nobody kills it, in seconds
)

// Fault is something that goes wrong in a call of the runtime. What it names
// happens in the order of the fields. If none of Log, Message, Exit and Signal
// is set, the verb is then done (or has been: see After).
type Fault struct {
	Verb  string // of the command line; empty: every one
	ID    string // of the container; empty: every one
	Times int    // how many calls it befalls; 0: all
	After bool   // the verb is done first

	KeepStdio bool           // a child in the runtime's process group keeps its standard streams open
	Session   bool           // a child goes into a session of its own, with no streams
	Sleep     time.Duration  // before anything else happens
	Log       string         // goes into the log as it stands
	Print     string         // goes to standard error
	Message   string         // an error: into the log, and to standard error
	Exit      int            // exit code; with a Message, 0 means 1
	Signal    syscall.Signal // the runtime dies by it
}

// SetFaults has the runtime, as returned by Binary, do these things wrong from now
// on, instead of what it was told before. A call meets the first fault that is for it.
func SetFaults(t testing.TB, binary string, faults ...Fault) {
	t.Helper()
	dir := filepath.Dir(binary)
	old, err := filepath.Glob(filepath.Join(dir, faultFile+".*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	WriteJSON(t, filepath.Join(dir, faultFile+".new"), faults)
	if err := os.Rename(filepath.Join(dir, faultFile+".new"), filepath.Join(dir, faultFile)); err != nil {
		t.Fatal(err)
	}
}

// Children returns the pids of the children that faults have left, dead or alive.
func Children(t testing.TB, binary string) []int {
	t.Helper()
	return readChildren(filepath.Dir(binary))
}

func readChildren(dir string) []int {
	data, err := os.ReadFile(filepath.Join(dir, childFile))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killChildren kills the children that faults have left and that are still what
// they were.
func killChildren(dir string) {
	for _, pid := range readChildren(dir) {
		line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err == nil && string(line) == "sleep\x00"+strconv.Itoa(childLife)+"\x00" {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself just now
		}
	}
}

// findFault returns the fault for this call, nil if there is none.
func (f *fake) findFault() (*Fault, error) {
	path := filepath.Join(f.dir, faultFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var faults []Fault
	if err := json.Unmarshal(data, &faults); err != nil {
		return nil, fmt.Errorf("parse faults: %w", err)
	}
	for i := range faults {
		c := &faults[i]
		if (c.Verb == "" || c.Verb == f.verb) && (c.ID == "" || c.ID == f.id) && c.due(fmt.Sprintf("%s.%d", path, i)) {
			return c, nil
		}
	}
	return nil, nil
}

// due counts a call, in files named after mark, and tells whether it is among the
// first Times.
func (c *Fault) due(mark string) bool {
	if c.Times == 0 {
		return true
	}
	for n := range c.Times {
		f, err := os.OpenFile(fmt.Sprintf("%s.%d", mark, n), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_ = f.Close() // nothing was written
			return true
		}
	}
	return false
}

// befall does what the fault says. If it ends the call, done is true.
func (f *fake) befall(c *Fault) (code int, done bool) {
	if c.KeepStdio {
		f.leaveChild(os.Stdin, os.Stdout, os.Stderr, &syscall.SysProcAttr{})
	}
	if c.Session {
		f.leaveChild(nil, nil, nil, &syscall.SysProcAttr{Setsid: true})
	}
	time.Sleep(c.Sleep)
	if c.Log != "" {
		f.logText(c.Log)
	}
	if c.Print != "" {
		fmt.Fprint(os.Stderr, c.Print)
	}
	if c.Message != "" {
		f.fail(c.Message)
	}
	if c.Signal != 0 {
		_ = syscall.Kill(os.Getpid(), c.Signal) // of ourselves: it cannot fail
		time.Sleep(time.Minute)                 // until it is delivered
	}
	if c.Exit == 0 && c.Message != "" {
		return 1, true
	}
	return c.Exit, c.Exit != 0 || c.Log != ""
}

func (f *fake) leaveChild(stdin, stdout, stderr *os.File, sys *syscall.SysProcAttr) {
	attr := &os.ProcAttr{Files: []*os.File{stdin, stdout, stderr}, Sys: sys}
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", strconv.Itoa(childLife)}, attr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leave child:", err)
		return
	}
	file, err := os.OpenFile(filepath.Join(f.dir, childFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, p.Pid)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leave child:", err)
	}
}
