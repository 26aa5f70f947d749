package shim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/cgroup"
)

// Variables of the environment (spec 1.3).
const (
	envTTRPCAddress = "TTRPC_ADDRESS"   // where events go, a plain path
	envSchedCore    = "SCHED_CORE"      // any value: core scheduling
	envGOMAXPROCS   = "GOMAXPROCS"      // set to 2 by daemons, for start alone
	envWispProcs    = "WISP_GOMAXPROCS" // the user's choice for the server
)

// serverProcs is the server's GOMAXPROCS. With one P the server has fewer threads and moves streams with a third less processor
// time than with two; it seldom has work for more.
const serverProcs = "1"

const oomScoreMax = 1000 // OOM_SCORE_ADJ_MAX

// spawn starts the server: this very binary, in this directory, with the listener as fd 3 and /dev/null as standard input, output
// and error, so that it holds nothing of the daemon's. It has a process group of its own: signals to start's group spare it. It
// is no session leader, lest opening a terminal for a container's output made that terminal its own.
func spawn(cl *commandLine, in startInput, env Environment, listener *os.File) (int, error) {
	if env.get(envSchedCore) != "" {
		const scope = unix.PR_SCHED_CORE_SCOPE_PROCESS_GROUP
		if err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, scope, 0); err != nil {
			return 0, fmt.Errorf("enable core scheduling: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find own binary: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("start server: %w", err)
	}
	defer null.Close() //nolint:errcheck // nothing was written
	// What we inherited beyond standard error is not for the server; older kernels have no such call and leave it at that.
	_ = unix.CloseRange(listenerFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	pid, err := syscall.ForkExec(self, serverArgs(cl, in, self), &syscall.ProcAttr{
		Env:   serverEnv(env, in.ttrpcAddress),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), listener.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start server %s: %w", self, err)
	}
	return pid, nil
}

// serverArgs is the server's command line.
func serverArgs(cl *commandLine, in startInput, self string) []string {
	args := []string{self, "-namespace", cl.namespace, "-id", cl.id, "-address", cl.address}
	if cl.debug || in.debug {
		args = append(args, "-debug")
	}
	return args
}

// serverEnv is start's environment with the server's own values; an address from standard input wins over the variable.
func serverEnv(env Environment, ttrpcAddress string) []string {
	procs := env.get(envWispProcs)
	if procs == "" {
		procs = serverProcs
	}
	result := make([]string, 0, len(env.Environ)+2)
	result = append(result, envGOMAXPROCS+"="+procs)
	if ttrpcAddress != "" {
		result = append(result, envTTRPCAddress+"="+ttrpcAddress)
	}
	for _, kv := range env.Environ {
		key, _, _ := strings.Cut(kv, "=")
		if key == envGOMAXPROCS || (key == envTTRPCAddress && ttrpcAddress != "") {
			continue
		}
		result = append(result, kv)
	}
	return result
}

// settle puts the new server where it belongs: into the cgroup that the options name, and just behind the daemon in the order of
// the OOM killer.
func settle(pid int, shimCgroup string) error {
	if shimCgroup != "" {
		if err := cgroup.Join(shimCgroup, pid); err != nil {
			return err
		}
	}
	return adjustOOMScore(pid, os.Getppid())
}

// adjustOOMScore sets the score of pid to that of the daemon plus one.
func adjustOOMScore(pid, daemon int) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", daemon))
	if err != nil {
		return fmt.Errorf("read daemon's oom score: %w", err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("read daemon's oom score: %w", err)
	}
	score = min(score+1, oomScoreMax)
	err = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), strconv.AppendInt(nil, int64(score), 10), 0)
	if errors.Is(err, os.ErrPermission) { // in a user namespace, or without CAP_SYS_RESOURCE
		return nil
	}
	if err != nil {
		return fmt.Errorf("set oom score: %w", err)
	}
	return nil
}
