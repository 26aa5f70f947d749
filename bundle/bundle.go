// Package bundle owns the on-disk contract between a manager and a shim: the
// names, modes and formats of the files in a container's bundle, the rules for
// identifiers, and where a shim's socket is. Writer and reader of each file share
// what is here. [Dir] is the type to begin with.
//
// It must not know processes, containers' states or the wire, and imports nothing
// of ours. The shim, its delete action, the runtime library and shimctl use it.
//
// Files are written whole or not at all, with their mode whatever the umask
// (CVE-2024-25621). They are not synced to the disk: bundles live in /run, and
// must outlive a crash of the shim or of the manager, not one of the machine.
package bundle

import (
	"errors"
	"path/filepath"
)

// ErrInvalid is wrapped by errors about what a manager has asked for or put into
// a bundle: identifiers, socket directories, config.json.
var ErrInvalid = errors.New("invalid argument")

// Dir is a bundle: the absolute path of its directory.
type Dir string

// Names in a bundle. Those without a remark are containerd's (its daemons and
// shims rely on them), and so are their modes.
const (
	ConfigFile     = "config.json"     // the OCI runtime spec; the manager writes it
	RootfsDir      = "rootfs"          // where the root file system is mounted
	WorkDir        = "work"            // the manager's link to a directory that outlives the bundle
	LogFile        = "log"             // a FIFO that the manager made and reads, for the shim's log
	AddressFile    = "address"         // the shim's address as "unix://...", 0644; managers before 2.0 find it there
	BootstrapFile  = "bootstrap.json"  // what `start` answered, 0644; managers since 2.0 write it
	OptionsFile    = "options.json"    // Options, 0600; Create writes it for delete
	RuntimeFile    = "runtime"         // the runtime's binary, may be empty, 0600; Create writes it for delete
	RuntimeLogFile = "log.json"        // the OCI runtime's own log
	InitPidFile    = "init.pid"        // init's pid; the OCI runtime writes it
	SocketDirLink  = "s"               // a link to the directory of the socket, if the manager named one
	ExitFile       = "exit.json"       // Exit, 0600; ours
	DumpFile       = "shim-stacks.log" // goroutine stacks on SIGUSR1, 0600; ours
	ShimLogFile    = "shim.log"        // the shim's log where there is no FIFO, 0600; ours
)

// privateMode is the mode of files that only the shim and its managers read.
const privateMode = 0o600

// File returns the path of a file in the bundle.
func (d Dir) File(name string) string { return filepath.Join(string(d), name) }
