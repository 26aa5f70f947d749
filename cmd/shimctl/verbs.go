package main

import (
	"fmt"
	"io"
)

// verb is one thing that shimctl can do. run returns the exit code, or an error, which is said and turned into one.
type verb struct {
	name, alias string
	synopsis    string
	summary     string
	run         func(p *program, args []string) (int, error)
}

// verbs is the table of all verbs, in the order in which help shows them.
func verbs() []verb {
	return []verb{
		{"run", "", "run [flags] ROOTFS COMMAND [ARG...] | run [flags] --bundle DIR", "run a container until it ends", (*program).run},
		{"exec", "", "exec [flags] ID COMMAND [ARG...]", "run another command in a container", (*program).exec},
		{"ls", "", "ls [flags]", "list the shims that run, containerd's too: namespace, id, status, pid, shim's pid, bundle", (*program).ls},
		{"state", "", "state [flags] ID", "show a container's state", (*program).state},
		{"pids", "", "pids [flags] ID", "list a container's processes", (*program).pids},
		{"kill", "", "kill [flags] ID [SIGNAL]", "send a signal, by name or number (default TERM)", (*program).kill},
		{"wait", "", "wait [flags] ID", "wait for a container's end and exit with its status", (*program).wait},
		{"delete", "", "delete [flags] ID", "end a container that lost its shimctl, and all that is left of it", (*program).delete},
		{"help", "-h", "help", "show this", (*program).help},
		{"version", "-v", "version", "show the version", (*program).version},
	}
}

func (p *program) help([]string) (int, error) {
	p.usage(p.stdout)
	return exitOK, nil
}

// usage writes what help shows.
func (p *program) usage(w io.Writer) {
	fmt.Fprint(w, "Usage: shimctl VERB [flags] [arguments]; shimctl VERB -h shows the flags of a verb.\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %s\n        %s\n", v.synopsis, v.summary)
	}
}

// version is what `make build` links in: the output of git describe.
var version = "(devel)"

func (p *program) version([]string) (int, error) {
	fmt.Fprintf(p.stdout, "shimctl %s\n", version)
	return exitOK, nil
}
