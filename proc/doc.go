// Package proc owns a task: the container's init and its execs, the state each is in, the order in which things happen to them, and the
// events that tell of it, as plain values.
//
// It knows the runtime (runc), the reaper, the streams (stdio) and the cgroup; it must not know protobuf or ttrpc. Package shim imports it and
// turns requests into calls and events into messages.
//
// Reading order: state.go is the table that decides what is allowed; process.go moves one process through it; task.go and create.go make a task;
// exit.go is the way up, from the reaper to the announcement; each other file is one verb.
//
// One mutex a task guards all states. It is held for table look-ups and field writes, never over a fork, a file, a sleep or a channel. A verb
// that works (start, pause, delete ...) first moves the process into the state that says so, works unlocked, and then records the outcome; a second
// such verb waits for its turn, and all that only looks (State, Wait, Pids, Stats) or must always get through (Kill, CloseIO, ResizePty) does not.
package proc
