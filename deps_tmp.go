package wisp

import (
	_ "github.com/containerd/console"
	_ "github.com/containerd/fifo"
	_ "github.com/containerd/ttrpc"
	_ "github.com/moby/sys/mountinfo"
	_ "golang.org/x/sys/unix"
)
