// Package bell tells of signals without os/signal, which costs a program three threads: one that waits for signals, one that a goroutine
// is locked to, and the template for threads that the lock asks for. An idle shim has four threads without it.
//
// The handler is a few instructions that note the signal's number and add 1 to an eventfd, which waits in Go's poller. It never enters
// Go, so it needs nothing of the runtime: not even a goroutine to run on. Children start with default handlers, as ever, for a handler
// does not survive execve(2).
package bell
