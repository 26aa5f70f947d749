package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wisp-shim/wisp/internal/launch"
)

// containerdRoot is where containerd keeps its bundles, as NAMESPACE/ID.
const containerdRoot = "/run/containerd/io.containerd.runtime.v2.task"

// target is the container that a verb's command line names, and what else was on it.
type target struct {
	place
	bundle  string
	foreign bool // it is containerd's: to be looked at, not to be taken away
	args    []string
}

// flags makes the flags of a verb that says where containers are.
func (t *target) flags(name string) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.StringVar(&t.namespace, "namespace", "default", "the container's `namespace`")
	set.StringVar(&t.root, "root", defaultRoot, "the `directory` where shimctl run put its bundle")
	return set
}

// parse reads the command line and finds the bundle: ours first, then containerd's.
func (t *target) parse(p *program, set *flag.FlagSet, args []string, more int) error {
	if err := p.parseFlags(set, args); err != nil {
		return err
	}
	if set.NArg() == 0 || set.NArg() > 1+more && more >= 0 {
		return fmt.Errorf("%s: want the ID of a container: see shimctl %s -h", set.Name(), set.Name())
	}
	t.id, t.args = set.Arg(0), set.Args()[1:]
	if err := t.complete(); err != nil {
		return err
	}
	t.bundle = t.bundleDir()
	if !exists(t.bundle) {
		t.bundle, t.foreign = filepath.Join(containerdRoot, t.namespace, t.id), true
	}
	if !exists(t.bundle) {
		return fmt.Errorf("find container: no %q in namespace %q, neither in %s nor in %s", t.id, t.namespace, t.root, containerdRoot)
	}
	return nil
}

// config is what launch needs to reach the shim of the bundle.
func (t *target) config() launch.Config {
	binary, _ := os.ReadFile(filepath.Join(t.bundle, launch.BinaryFile)) // without it only delete is out of reach
	return launch.Config{
		Binary: strings.TrimSpace(string(binary)), Namespace: t.namespace, ID: t.id, Bundle: t.bundle,
		Address: filepath.Join(t.root, "shimctl.sock"), TTRPCAddress: t.eventsSocket(),
	}
}

// attach parses the command line of a simple verb and connects to the shim. The caller closes it.
func (t *target) attach(ctx context.Context, p *program, name string, args []string, more int) (*launch.Shim, error) {
	if err := t.parse(p, t.flags(name), args, more); err != nil {
		return nil, err
	}
	return launch.Attach(ctx, t.config())
}
