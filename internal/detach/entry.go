//go:build amd64 || arm64

package detach

// entry is the program's first instruction when it is linked with -E; it ends in the Go runtime's own.
//
//lint:ignore U1000 the linker calls for it
func entry()

// forked returns what entry has left: the descriptor of the pipe that the waiter reads, plus one, or 0 when entry did not fork; and
// the pid of the waiter's parent.
func forked() (pipe, manager int64)
