package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// options is the command line.
type options struct {
	work       string // directory for bundles and sockets
	out        string // directory for results
	rootfs     string
	runc       string
	rounds     int
	only       string
	quick      bool
	force      bool
	contenders contenders
}

// parse reads the command line.
func parse() options {
	var o options
	flag.StringVar(&o.work, "work", "/run/wisp-bench", "directory for bundles and sockets; a tmpfs is mounted there")
	flag.StringVar(&o.out, "out", "bench/out", "directory for the results")
	flag.StringVar(&o.rootfs, "rootfs", ".cache/rootfs", "a busybox root file system")
	flag.StringVar(&o.runc, "runc", ".cache/bin/runc", "the runtime of all contenders")
	flag.IntVar(&o.rounds, "rounds", 15, "rounds of a life")
	flag.StringVar(&o.only, "only", "", "comma list of parts: life,verbs,exec,death,stream,memory,growth")
	flag.BoolVar(&o.quick, "quick", false, "fewer rounds, fewer alive: for trying out")
	flag.BoolVar(&o.force, "force", false, "compare although the machine is too noisy")
	flag.Var(&o.contenders, "shim", "NAME=PATH of a contender, our own first; repeatable")
	flag.Parse()
	return o
}

func run(ctx context.Context, o options) error {
	if len(o.contenders) == 0 {
		return fmt.Errorf("no contender: name at least one with -shim NAME=PATH")
	}
	for _, p := range []*string{&o.out, &o.rootfs, &o.runc} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if o.quick {
		o.rounds = min(o.rounds, 5)
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer l.close()
	for _, part := range parts {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+part.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", part.name)
		if err := part.run(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return l.report()
}

// part is a group of figures that are taken together.
type part struct {
	name string
	run  func(context.Context, *lab) error
}

var parts = []part{
	{"life", benchLife},
	{"verbs", benchVerbs},
	{"exec", benchExec},
	{"death", benchDeath},
	{"stream", benchStream},
	{"memory", benchMemory},
	{"growth", benchGrowth},
}
