// Package cgroup reads and steers the cgroup of one container: statistics in containerd's wire form, the list of processes, the freezer, the killing of
// all that is inside, and the kernel's reports of OOM kills. It does for cgroup v1 (hybrid included) and v2 what would otherwise need a runc
// child or a library that links systemd's D-Bus and eBPF (docs/decisions/0012).
//
// Load finds the cgroup of a process; all else is a method of what it returns. A Cgroup holds paths only: no file is kept open, nothing is cached
// that the kernel may change, and every method may be called from any goroutine. Join is for the shim's own cgroup.
//
// The package must not know containers, tasks or the wire of ttrpc. Packages proc and shim import it.
package cgroup
