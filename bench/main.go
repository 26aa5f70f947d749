// Command bench runs wisp's shim, containerd's and the Rust one side by side, with raw runc beside them as the floor, and prints what each costs and how
// long it takes. Rounds alternate between the contenders, so that the machine's noise hits all alike; medians and ratios are printed, and absolute figures
// are worth what the machine is. It needs no daemon. `make bench` builds and runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == writerVerb {
		os.Exit(writeBytes(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == bareVerb {
		os.Exit(bareLoop(os.Args[2:]))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, parse())
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}
