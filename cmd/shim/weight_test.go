package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The weight of an idle shim with one task and no streams. What depends on the machine's speed is measured by `make bench`; these figures do not, and a change
// that spoils one is to say why it must.
const (
	weightAnonymous  = 1200 // kB of anonymous memory: what is nobody else's. Some 950 measured
	weightStorm      = 2200 // the same after 40 execs at once: 1,250 to 1,880 measured, 2,400 and more without build/overlay.sh
	weightThreads    = 5    // 3 or 4 measured
	weightFDs        = 14   // 11 measured
	weightGoroutines = 13   // 10 measured
	weightWakeups    = 3    // of all threads, while it is watched
	weightRest       = 4 * time.Second
	weightWatch      = 10 * time.Second
)

// An idle shim stays as light as it is.
func TestWeightOfAnIdleShim(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	time.Sleep(weightRest) // what it gives back it gives back a second after the last request
	before := r.switches()
	time.Sleep(weightWatch)
	if n := r.switches() - before; n > weightWakeups {
		t.Errorf("%d wake-ups in %v of idling, limit %d", n, weightWatch, weightWakeups)
	}
	limit := func(what string, value, most int) {
		t.Helper()
		t.Logf("%s: %d", what, value)
		if value > most {
			t.Errorf("%s: %d, limit %d", what, value, most)
		}
	}
	limit("kB of anonymous memory", r.anonymous(), weightAnonymous)
	limit("threads", r.threads(), weightThreads)
	limit("descriptors", len(descriptors(t, r.process.Pid)), weightFDs)
	match := regexp.MustCompile(`goroutines=(\d+)`).FindStringSubmatch(r.dump())
	if match == nil {
		t.Fatal("the dump does not tell goroutines")
	}
	n, err := strconv.Atoi(match[1])
	must(t, err)
	limit("goroutines", n, weightGoroutines)
	r.finish()
}

// What a storm of execs has taken goes back.
func TestWeightAfterAStormOfExecs(t *testing.T) {
	const storm = 40
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	var execs sync.WaitGroup
	for i := range storm {
		execs.Go(func() {
			id := "e" + strconv.Itoa(i)
			r.exec(id, "", "true")
			r.wait(id)
			r.delete(id)
		})
	}
	execs.Wait()
	time.Sleep(weightRest)
	t.Logf("kB of anonymous memory: %d", r.anonymous())
	if kb := r.anonymous(); kb > weightStorm {
		t.Errorf("%d kB of anonymous memory after %d execs at once, limit %d", kb, storm, weightStorm)
	}
	r.finish()
}

// proc reads a file of the shim's directory in /proc.
func (r *rig) proc(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.process.Pid), name))
	must(r.t, err)
	return string(data)
}

// anonymous is the shim's anonymous memory in kB (proc_pid_smaps_rollup(5)).
func (r *rig) anonymous() int { return number(r.t, r.proc("smaps_rollup"), "Anonymous:") }

// switches is how often the shim's threads have gone to sleep.
func (r *rig) switches() (sum int) {
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(r.process.Pid), "task"))
	must(r.t, err)
	for _, thread := range threads {
		sum += number(r.t, r.proc(filepath.Join("task", thread.Name(), "status")), "voluntary_ctxt_switches:")
	}
	return sum
}

// number is the first number behind a word at the beginning of a line.
func number(t *testing.T, text, word string) int {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			must(t, err)
			return n
		}
	}
	t.Fatalf("no %s in %q", word, text)
	return 0
}
