package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// members lists the container's processes with their command lines, from its cgroup.
func (r *rig) members() map[int]string {
	r.t.Helper()
	response, err := r.shim.Task.Pids(r.ctx, &protos.PidsRequest{Id: r.config.ID})
	must(r.t, err)
	found := map[int]string{}
	for _, p := range response.GetProcesses() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.GetPid()))
		found[int(p.GetPid())] = strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
	}
	return found
}

// count is how many of the container's processes run a command.
func (r *rig) count(command string) int {
	n := 0
	for _, c := range r.members() {
		if c == command {
			n++
		}
	}
	return n
}

// Field report F44: a kill of an exec with all takes its descendants, orphans among them, and no other process.
func TestKillAllOfAnExecTakesItsTreeAndNoOther(t *testing.T) {
	r := newRig(t, nil, "sh", "-c", "sleep 1001 & wait").start()
	r.run()
	r.exec("tree", "", "sh", "-c", "(sleep 2001 &) ; sh -c 'sleep 2002 & wait' & wait")
	r.exec("other", "", "sh", "-c", "sleep 3001 & wait")
	soon(t, "all run", func() bool {
		return r.count("sleep 1001") == 1 && r.count("sleep 2001") == 1 && r.count("sleep 2002") == 1 && r.count("sleep 3001") == 1
	})
	r.kill("tree", unix.SIGKILL, true)
	if status := r.wait("tree"); status != 137 {
		t.Errorf("exit status %d", status)
	}
	soon(t, "the exec's tree has ended", func() bool { return r.count("sleep 2001")+r.count("sleep 2002") == 0 })
	if r.count("sleep 1001") != 1 || r.count("sleep 3001") != 1 {
		t.Errorf("others were hit: %v are left", r.members())
	}
	r.finish()
}

// Field report F49: a paused task dies of SIGKILL, through the shim, and even when init is killed by another.
func TestSIGKILLOfAPausedTask(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all=%v", all), func(t *testing.T) {
			r := newRig(t, nil, "sleep", "1000").start()
			r.run()
			r.exec("e", "", "sleep", "1000")
			_, err := r.shim.Task.Pause(r.ctx, &protos.PauseRequest{Id: r.config.ID})
			must(t, err)
			r.kill("", unix.SIGKILL, all)
			if status := r.wait(""); status != 137 {
				t.Errorf("exit status %d", status)
			}
			r.wait("e")
			r.delete("")
		})
	}
}

// Field report F48: without a pid namespace of its own, init's death leaves nobody, and init is told last.
func TestInitsDeathEndsASharedPidNamespace(t *testing.T) {
	r := newRig(t, func(c *launch.Container) { c.HostPID = true }, "sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 0.5").start()
	r.run()
	r.exec("e", "", "sh", "-c", "sleep 1000 & sleep 1000 & wait")
	if status := r.wait(""); status != 0 {
		t.Errorf("exit status %d", status)
	}
	soon(t, "no process but the shim", func() bool { return len(r.marked()) == 1 })
	r.delete("")
	seen := r.event(protos.TopicDelete)
	var exits []string
	for _, e := range seen {
		if e.GetTopic() == protos.TopicExit {
			exits = append(exits, exitOf(t, e).GetId())
		}
	}
	if !slices.Equal(exits, []string{"e", r.config.ID}) {
		t.Errorf("exits of %q", exits)
	}
}

// oomKills is how many containers are killed for want of memory, each in a life of its own.
const oomKills = 50

// Field report F6: each OOM kill is told, once or more, before the exit that it led to.
func TestEveryOOMKillIsToldBeforeTheExit(t *testing.T) {
	begun := time.Now()
	for i := range oomKills {
		if time.Since(begun) > 15*time.Second && i >= 10 {
			t.Logf("a slow machine: %d instead of %d", i, oomKills)
			break
		}
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			r := newRig(t, func(c *launch.Container) { c.Memory = 8 << 20 }, "tail", "/dev/zero").start()
			r.run()
			status := r.wait("")
			r.delete("")
			got := topics(r.event(protos.TopicDelete))
			oom, exit := slices.Index(got, protos.TopicOOM), slices.Index(got, protos.TopicExit)
			if status != 137 || oom < 0 || oom > exit {
				t.Errorf("exit status %d, events %q", status, got)
			}
			if state := strings.Join(got, " "); strings.LastIndex(state, protos.TopicOOM) > strings.Index(state, protos.TopicExit) {
				t.Errorf("OOM after the exit: %q", got)
			}
		})
	}
}
