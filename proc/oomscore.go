package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/reaper"
)

// ownOOMScore gives a process of the container the kernel's default for oom_score_adj, 0, where the container's spec names no value: it would inherit
// the shim's, which is the daemon's plus one, and so be spared or preferred by the OOM killer as the daemon is (field report F39). Where the
// spec names one the runtime has set it, for execs too.
//
// It is done as soon as the process is claimed: before init runs the user's command; an exec runs by then, and may have had children.
func (t *Task) ownOOMScore(child *reaper.Process) {
	if t.namesScore {
		return
	}
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil || bytes.Equal(bytes.TrimSpace(own), []byte("0")) {
		return
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.Pid()), os.O_WRONLY, 0)
	if err != nil {
		return // it has ended
	}
	defer f.Close() //nolint:errcheck // the write tells
	select {
	case <-child.Done(): // the file may be that of a process with the same pid
		return
	default:
	}
	// EACCES: a value below the least that was ever set, without CAP_SYS_RESOURCE.
	if _, err := f.WriteString("0"); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrPermission) {
		t.warn("set oom score", "error", err)
	}
}
