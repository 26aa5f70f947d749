package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wisp-shim/wisp/internal/launch"
)

// shimName is the binary that is looked for when none is named.
const shimName = "containerd-shim-wisp-v2"

// runFlags is the command line of run, checked and with every path absolute.
type runFlags struct {
	place
	terminal, interactive bool
	events, debug, legacy bool
	shim, runtime         string
	bundle                string // adopt this bundle instead of making one
	container             launch.Container
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string         { return strings.Join(*l, " ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

// parseRun reads the command line of run. Nothing has been made when it fails.
func (p *program) parseRun(args []string) (*runFlags, error) {
	f := &runFlags{}
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	var env list
	var user, net string
	set.BoolVar(&f.terminal, "t", false, "give the container a terminal")
	set.BoolVar(&f.interactive, "i", false, "connect standard input (default: if it is no terminal, or with -t)")
	set.BoolVar(&f.events, "events", false, "show each event, one line, on standard error")
	set.BoolVar(&f.debug, "debug", false, "show the shim's log on standard error")
	set.BoolVar(&f.legacy, "legacy", false, "start the shim as containerd before 2.3 does")
	set.StringVar(&f.shim, "shim", os.Getenv("WISP_SHIM"), "the shim's `path` (default $WISP_SHIM, beside shimctl, or from PATH)")
	set.StringVar(&f.runtime, "runtime", "", "the OCI runtime's `path` (default runc from PATH)")
	set.StringVar(&f.runtime, "runc", "", "the same as --runtime")
	set.StringVar(&f.bundle, "bundle", "", "run the OCI bundle in this `directory`")
	set.StringVar(&f.id, "id", "", "the container's `id` (default: made up)")
	set.StringVar(&f.namespace, "namespace", "default", "the container's `namespace`")
	set.StringVar(&f.root, "root", defaultRoot, "the `directory` for bundles, sockets and the runtime's state")
	set.Var(&env, "env", "set a variable of the environment, `KEY=VALUE` (repeatable)")
	set.StringVar(&f.container.Cwd, "cwd", "", "the working `directory` in the container")
	set.StringVar(&user, "user", "", "run as `uid[:gid]`")
	set.StringVar(&f.container.Hostname, "hostname", "", "the `host` name (default: the id)")
	set.StringVar(&net, "net", "none", "the network: `none` (lo alone) or host")
	set.BoolVar(&f.container.Readonly, "read-only", false, "mount the root file system read-only")
	set.Bool("rm", true, "leave nothing behind; always so")
	if err := p.parseFlags(set, args); err != nil {
		return nil, err
	}
	f.container.Env = env
	if err := f.setNetwork(net); err != nil {
		return nil, err
	}
	if err := f.setUser(user); err != nil {
		return nil, err
	}
	if err := f.setContainer(set); err != nil {
		return nil, err
	}
	if err := f.place.complete(); err != nil {
		return nil, err
	}
	f.container.Namespace, f.container.ID, f.container.Terminal = f.namespace, f.id, f.terminal
	return f, f.findBinaries()
}

// parseFlags parses, and leaves errors to be said by our own rules. After -h it has shown the flags and returns flag.ErrHelp.
func (p *program) parseFlags(set *flag.FlagSet, args []string) error {
	set.SetOutput(io.Discard)
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		for _, v := range verbs() {
			if v.name == set.Name() {
				fmt.Fprintf(p.stdout, "Usage: shimctl %s\n\n", v.synopsis)
			}
		}
		set.SetOutput(p.stdout)
		set.PrintDefaults()
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %v", set.Name(), err)
	}
	return nil
}

func (f *runFlags) setNetwork(net string) error {
	if net != "none" && net != "host" {
		return fmt.Errorf("--net %q: none or host", net)
	}
	f.container.HostNetwork = net == "host"
	return nil
}

// setUser reads uid[:gid]; without a gid it is the uid's number, as there is no passwd file to ask.
func (f *runFlags) setUser(user string) error {
	if user == "" {
		return nil
	}
	uid, gid, both := strings.Cut(user, ":")
	if !both {
		gid = uid
	}
	u, uidErr := strconv.ParseUint(uid, 10, 32)
	g, gidErr := strconv.ParseUint(gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		return fmt.Errorf("--user %q: want numbers, uid[:gid]", user)
	}
	f.container.User = launch.SpecUser{UID: uint32(u), GID: uint32(g)}
	return nil
}

// setContainer takes what follows the flags: a root file system and a command, or nothing where a bundle says it all.
func (f *runFlags) setContainer(set *flag.FlagSet) error {
	if f.bundle != "" {
		if set.NArg() > 0 {
			return fmt.Errorf("run: %q after --bundle: the bundle says what is run", set.Arg(0))
		}
		var clash error
		set.Visit(func(g *flag.Flag) {
			switch g.Name {
			case "env", "cwd", "user", "hostname", "net", "read-only":
				clash = fmt.Errorf("run: --%s does not go with --bundle: the bundle says it", g.Name)
			}
		})
		return clash
	}
	if set.NArg() < 2 {
		return fmt.Errorf("run: want ROOTFS and COMMAND, or --bundle DIR")
	}
	rootfs, err := filepath.Abs(set.Arg(0))
	if err == nil {
		rootfs, err = filepath.EvalSymlinks(rootfs) // which runc refuses
	}
	if err != nil {
		return fmt.Errorf("find rootfs: %w", err)
	}
	info, err := os.Stat(rootfs)
	if err != nil {
		return fmt.Errorf("find rootfs: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("find rootfs: %s is not a directory", rootfs)
	}
	f.container.Rootfs, f.container.Args = rootfs, set.Args()[1:]
	return nil
}

// findBinaries finds the shim and the runtime before anything is made, so that a missing one is named plainly.
func (f *runFlags) findBinaries() error {
	if f.shim == "" {
		f.shim = shimName
		if self, err := os.Executable(); err == nil {
			if beside := filepath.Join(filepath.Dir(self), shimName); isFile(beside) {
				f.shim = beside
			}
		}
	}
	shim, err := lookPath("shim", f.shim)
	if err != nil {
		return err
	}
	f.shim = shim
	if f.runtime == "" {
		_, err = lookPath("runtime", "runc")
		return err
	}
	f.runtime, err = lookPath("runtime", f.runtime)
	return err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lookPath finds a binary and makes its path absolute, for it will be run from another directory.
func lookPath(what, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w", what, err)
	}
	return path, nil
}
