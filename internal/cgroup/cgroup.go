package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrShared is returned by Freeze and Kill when the calling process is itself in the cgroup: it would stop or kill itself.
var ErrShared = errors.New("the calling process is in this cgroup")

const (
	freezeMax  = 200 * time.Millisecond // Kill waits this long for a freezer before it signals without it; a process in a system call may hold it up
	napFirst   = 50 * time.Microsecond  // between two looks at a freezer; most freeze within two or three
	napLast    = 5 * time.Millisecond   // the longest pause between two looks: a process in uninterruptible sleep
	countFirst = time.Millisecond       // cgroup v1 tells of an OOM before it kills: the counter is looked at again after this,
	countMax   = time.Second            // with doubled pauses, for about this long; a kill takes milliseconds, longer on a machine that swaps
)

// controller is one of the hierarchies of cgroup v1 that the package uses. On cgroup v2 all of them are in one directory.
type controller int

const (
	freezer controller = iota
	devices
	pids
	memory
	cpu
	cpuacct
	blkio
	hugetlb
	rdma
	systemd // the named hierarchy: processes, but no controller
	controllers
)

// String is the name in /proc/PID/cgroup.
func (c controller) String() string {
	return [...]string{"freezer", "devices", "pids", "memory", "cpu", "cpuacct", "blkio", "hugetlb", "rdma", "name=systemd"}[c]
}

// Cgroup is the cgroup of a container: one directory on v2, one for each controller on v1.
type Cgroup struct {
	v2   bool
	dirs [controllers]string // "" where the container has no cgroup of its own; on v2 only the first is used
	sys  system
	huge []string // sizes of huge pages as in file names, such as 2MB; the kernel's, fixed since boot
}

// Load finds the cgroup that the process is in. The error wraps fs.ErrNotExist when there is no such process, when it is a zombie (cgroup v1 shows the root
// for it), or when it has no cgroup of its own, which is the case for one in the root of every hierarchy.
func Load(pid int) (*Cgroup, error) {
	s := host()
	return s.load(pid, s.unified())
}

// Open is Load for a container whose processes may all be dead: paths are the cgroup's directories by controller, or by "" alone for v2, as runc keeps them
// in its state.json. The error wraps fs.ErrNotExist when none of them exists.
func Open(paths map[string]string) (*Cgroup, error) {
	c := &Cgroup{sys: host()}
	if dir, ok := paths[""]; ok && len(paths) == 1 {
		c.v2, c.dirs[0] = true, dir
	} else {
		for ctrl := range controllers {
			c.dirs[ctrl] = paths[ctrl.String()]
		}
	}
	if !c.Exists() {
		return nil, fmt.Errorf("open cgroup: %w", fs.ErrNotExist)
	}
	c.prepare()
	return c, nil
}

// prepare reads what does not change.
func (c *Cgroup) prepare() {
	if c.at(hugetlb) != "" {
		c.huge = c.sys.hugePages()
	}
}

// Exists tells whether the cgroup is still there.
func (c *Cgroup) Exists() bool {
	for _, dir := range c.dirs {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// at is the container's directory in a controller's hierarchy.
func (c *Cgroup) at(ctrl controller) string {
	if c.v2 {
		return c.dirs[0]
	}
	return c.dirs[ctrl]
}

// need is at for those who cannot do without.
func (c *Cgroup) need(ctrl controller) (dir string, err error) {
	if dir = c.at(ctrl); dir == "" {
		return "", fmt.Errorf("find the container's %s cgroup: %w", ctrl, fs.ErrNotExist)
	}
	return dir, nil
}

// main is the hierarchy whose processes are the container's. The freezer comes first, so that what is frozen is what is killed. On v1 any
// will do: the runtime puts every process into all of them.
func (c *Cgroup) main() controller {
	for ctrl := range controllers {
		if c.at(ctrl) != "" {
			return ctrl
		}
	}
	return freezer
}
