// Package launch is a manager's way to a shim: it does what containerd does to start one, talk to it and remove it, and nothing more.
//
// It owns the start and delete command lines, the dialects of their input and output, the log fifo, the events server and a small maker of
// OCI bundles. It drives any shim (ours, containerd's of 1.6 and of 2.4, the Rust one), for shimctl, the tests and the benchmarks. It knows
// no terminal and no policy: order, retries and time limits are the caller's. Of ours it imports protos and bundle.
//
// Begin with Start, which gives a Shim, and with Listen, which gives the events. Behaviour follows sections 1, 6 and 7 of the spec.
package launch
