// Package stdio owns the standard streams of a process: descriptors, FIFOs, consoles, logging binaries, and the goroutines that move bytes.
//
// It must not know containers or ttrpc, and starts no process itself: a logging binary is started through Config.Spawn. Package proc imports it.
//
// The path of a byte: the process writes into an anonymous pipe, splice(2) moves its pages on to the manager's FIFO, and the shim's memory never sees them.
// A terminal's output has to be read, and is gathered before it is written on. The rules of FIFO ends, terminals and draining are docs/decisions/0009 to 0011.
//
// Read Open and Streams first, then relay.go.
package stdio
