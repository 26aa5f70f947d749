package runc

import "time"

// Budgets: how long a verb may take before the runtime is killed. They end hangs
// and are no expectation: a node under load takes many times what runc needs. Hooks
// of the container run inside create, start and delete. containerd's CRI
// plugin gives a request two minutes.
const (
	createBudget     = 2 * time.Minute  // also waits for systemd where it makes the cgroup
	startBudget      = 2 * time.Minute  // runs startContainer and poststart hooks
	deleteBudget     = time.Minute      // runs poststop hooks; runc waits 10 s for a killed init
	killBudget       = 10 * time.Second // runc thaws and signals
	execBudget       = time.Minute      // joins namespaces; loads and locks pages under memory pressure
	freezeBudget     = 30 * time.Second // runc retries a freezer that does not come to rest
	queryBudget      = 10 * time.Second // reads files
	updateBudget     = 30 * time.Second // writes the cgroup; memory is reclaimed meanwhile
	checkpointBudget = 10 * time.Minute // writes the container's memory to disk
	restoreBudget    = 10 * time.Minute // reads it back
)

// killGrace is how long a killed runtime may take to be gone: one in
// uninterruptible sleep is waited for no longer.
const killGrace = 5 * time.Second

// verb is what calls of one verb have in common.
type verb struct {
	name   string
	prefix string // of errors' texts (spec 3.4); empty: they name the binary instead
	budget time.Duration

	// diesWithUs has the kernel kill the runtime when this process dies. That
	// is right where the runtime would go on to bring something to life after
	// the manager, seeing the shim dead, has had everything deleted. It is wrong
	// for what removes, stops or asks: half of a delete is worse than the whole.
	//
	// The signal is tied to the thread that forks (PR_SET_PDEATHSIG in prctl(2)),
	// not to the process. Go ends a thread only when a goroutine ends that is
	// locked to it, and any goroutine may get locked to the thread that forked for us
	// a moment ago. So in a process that uses this package no goroutine may end without
	// undoing its runtime.LockOSThread.
	diesWithUs bool
}

// The verbs, as runc names them.
func createVerb() verb {
	return verb{name: "create", prefix: "OCI runtime create failed", budget: createBudget, diesWithUs: true}
}

func startVerb() verb {
	return verb{name: "start", prefix: "OCI runtime start failed", budget: startBudget, diesWithUs: true}
}

func execVerb() verb {
	return verb{name: "exec", prefix: "OCI runtime exec failed", budget: execBudget, diesWithUs: true}
}

func restoreVerb() verb {
	return verb{name: "restore", prefix: "OCI runtime restore failed", budget: restoreBudget, diesWithUs: true}
}

func deleteVerb() verb {
	return verb{name: "delete", prefix: "failed to delete task", budget: deleteBudget}
}

func killVerb(all bool) verb {
	if all {
		return verb{name: "kill", prefix: "OCI runtime killall failed", budget: killBudget}
	}
	return verb{name: "kill", budget: killBudget}
}

func pauseVerb() verb {
	return verb{name: "pause", prefix: "OCI runtime pause failed", budget: freezeBudget}
}

func resumeVerb() verb {
	return verb{name: "resume", prefix: "OCI runtime resume failed", budget: freezeBudget}
}

func checkpointVerb() verb { return verb{name: "checkpoint", budget: checkpointBudget} }
func updateVerb() verb     { return verb{name: "update", budget: updateBudget} }
func stateVerb() verb      { return verb{name: "state", budget: queryBudget} }
func psVerb() verb         { return verb{name: "ps", budget: queryBudget} }
func featuresVerb() verb   { return verb{name: "features", budget: queryBudget} }
