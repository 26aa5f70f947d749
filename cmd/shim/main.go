// Command shim is a containerd shim, named containerd-shim-wisp-v2 when it is installed. Package shim does the work.

// The number of Ps is set by the environment; without this the Go runtime would keep two files of its cgroup open for good to watch
// for another number.
//
//go:debug containermaxprocs=0
package main

import (
	"context"
	"os"

	"github.com/wisp-shim/wisp/shim"
)

func main() {
	os.Exit(shim.Run(context.Background(), os.Args, shim.Environment{
		Stdin:   os.Stdin,
		Stdout:  shim.Descriptor(1),
		Stderr:  shim.Descriptor(2),
		Environ: os.Environ(),
	}))
}
