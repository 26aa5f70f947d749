package shim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/cgroup"
)

// Variables of the environment (spec 1.3).
const (
	envTTRPCAddress = "TTRPC_ADDRESS"   // where events go, a plain path
	envSchedCore    = "SCHED_CORE"      // any value: core scheduling
	envWispProcs    = "WISP_GOMAXPROCS" // the user's choice for the server
)

const oomScoreMax = 1000 // OOM_SCORE_ADJ_MAX

// settle puts this process, which is to be the server, where it belongs: apart from others on a core where the daemon wants that,
// into the cgroup that the options name, and just behind the daemon in the order of the OOM killer.
func settle(env Environment, shimCgroup string, daemon int) error {
	if env.get(envSchedCore) != "" {
		const scope = unix.PR_SCHED_CORE_SCOPE_PROCESS_GROUP
		if err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, scope, 0); err != nil {
			return fmt.Errorf("enable core scheduling: %w", err)
		}
	}
	if shimCgroup != "" {
		if err := cgroup.Join(shimCgroup, os.Getpid()); err != nil {
			return err
		}
	}
	return adjustOOMScore(daemon)
}

// adjustOOMScore sets our score to that of the daemon plus one.
func adjustOOMScore(daemon int) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", daemon))
	if err != nil {
		return fmt.Errorf("read daemon's oom score: %w", err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("read daemon's oom score: %w", err)
	}
	score = min(score+1, oomScoreMax)
	err = os.WriteFile("/proc/self/oom_score_adj", strconv.AppendInt(nil, int64(score), 10), 0)
	if errors.Is(err, os.ErrPermission) { // in a user namespace, or without CAP_SYS_RESOURCE
		return nil
	}
	if err != nil {
		return fmt.Errorf("set oom score: %w", err)
	}
	return nil
}
