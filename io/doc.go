// Package stdio carries the standard streams of a container's process: pipes to the container, FIFOs, files, logging binaries and
// terminals to its manager. It owns descriptors and the goroutines that move bytes. It knows nothing of containers, the runtime or ttrpc,
// and starts programs only through Config.Spawn. Package proc imports it.
//
// Open makes everything that can fail before the runtime runs; Files and ConsoleSocket are for the runtime; Attach starts the streams;
// Drain waits for the output of a process that is gone; Close ends everything, in any state.
//
// On the way from a pipe to a FIFO no byte is copied in user space: splice(2) moves the pages. Every descriptor that is waited for is
// under the Go runtime's poller, so no stream has a thread of its own, and an idle stream has no buffer. See docs/decisions 0009 to 0011.
package stdio

import (
	"errors"
	"time"
)

// Phases of Open and Attach. Compare with errors.Is.
var (
	// ErrInvalid is returned by Open for streams that cannot be: an unknown scheme, a terminal with a stderr, a relative path.
	ErrInvalid = errors.New("invalid stdio")
	// ErrLogger is returned by Open when a logging binary could not be started or did not get ready.
	ErrLogger = errors.New("logging binary failed")
	// ErrClosed is returned by Attach, CloseStdin and Resize after Close.
	ErrClosed = errors.New("streams are closed")
)

const (
	// consoleMax bounds the wait for the runtime to send the terminal. It sends it before it returns, so there is nothing to wait for in practice.
	consoleMax = 30 * time.Second
	// loggerReadyMax bounds the wait for a logging binary to say that it is ready.
	loggerReadyMax = 10 * time.Second
	// loggerEndMax bounds the wait for a logging binary to end, after its end of file and again after SIGTERM.
	loggerEndMax = 5 * time.Second
	// drainMax bounds Drain. It is well below the 10 s that managers allow for a Delete.
	drainMax = 5 * time.Second
	// drainQuiet is how long a stream must be silent, once its process is gone, for Drain to stop waiting for those who still hold it.
	drainQuiet = time.Second
	// shrinkAfter is how long a stream with grown pipes must be silent to get small ones again.
	shrinkAfter = 10 * time.Second
	// floodNap is the pause between two moves of a flood of small writes.
	floodNap = time.Millisecond
	// bulkNap is the pause between two moves of a flood of large writes: less than a writer and a reader need for a pipe of 1 MiB, one after the other.
	bulkNap = 250 * time.Microsecond
	// bulkMore prolongs it, if the reader has not emptied the FIFO yet.
	bulkMore = 100 * time.Microsecond
)

// Sizes in bytes.
const (
	pipeSmall = 64 << 10  // what the kernel gives a pipe
	pipeLarge = 256 << 10 // a heavy stream's
	pipeHuge  = 1 << 20   // a very heavy one's: /proc/sys/fs/pipe-max-size unless it was changed
	spliceMax = 1 << 20   // the most that one splice is asked to move: a whole pipe
	copySize  = 64 << 10  // the most that a copy gathers before it writes on
	inputSize = 4 << 10   // the most that a terminal takes at once
)
