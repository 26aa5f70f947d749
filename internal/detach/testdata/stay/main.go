// Command stay is what the tests of package detach start: `stay FILE BEHAVIOUR start` reports on itself in FILE and behaves so.
package main

import (
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/detach"
)

// Report is what the tests look at.
type Report struct {
	Pid, Manager, Procs int
	Args                []string
	Variable            string // GOMAXPROCS
	Extra               bool   // descriptor 9 is open
	Launched            bool   // by Launch, not by entry
	Released            string // "yes" or the error
}

func main() {
	w, args := detach.Find(os.Args)
	if w == nil {
		code, err := detach.Launch(os.Args, os.Environ())
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	}
	_, extra := unix.FcntlInt(9, unix.F_GETFD, 0)
	r := Report{
		Pid: os.Getpid(), Manager: w.Manager(), Procs: runtime.GOMAXPROCS(0), Args: args[1:],
		Variable: strings.Join([]string{os.Getenv("GOMAXPROCS"), os.Getenv("OTHER")}, " "), Extra: extra == nil,
		Launched: strings.HasPrefix(os.Args[1], "detached="),
	}
	report(args[1], r)
	switch args[2] {
	case "exit":
		os.Exit(7)
	case "die":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	r.Released = "yes"
	if err := w.Release(); err != nil {
		r.Released = err.Error()
	}
	report(args[1], r)
	time.Sleep(time.Minute)
}

func report(path string, r Report) {
	data, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		panic(err)
	}
}
