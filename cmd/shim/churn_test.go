package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/protos"
)

const (
	churnLives = 30
	churnExecs = 200
	churnWarm  = 20      // execs before the first count
	churnSlack = 2       // descriptors and threads: the runtime library may want one more
	rssSlack   = 1 << 20 // bytes, F35
)

// Life after life leaves nothing: each rig checks for itself.
func TestManyLivesLeaveNothing(t *testing.T) {
	for i := range churnLives {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			r := newRig(t, nil, "true").start()
			r.run()
			if status := r.wait(""); status != 0 {
				t.Errorf("exit status %d", status)
			}
			r.delete("")
		})
	}
}

// Many creates in one shim, under one id after another's end, leave it as it was.
func TestManyTasksInOneShimLeaveNothing(t *testing.T) {
	r := newRig(t, nil, "true").start()
	for range 10 {
		r.run()
		r.wait("")
		r.delete("")
	}
	for _, word := range []string{"awaitExit", "runOOM"} {
		soon(t, "no "+word+" is left", func() bool { return !strings.Contains(r.dump(), word) })
	}
}

// Execs come and go, with streams and without, and the shim's descriptors and threads do not grow; no zombie is left.
func TestManyExecsLeaveTheShimFlat(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	out := r.fifo("out")
	reader, err := os.OpenFile(out, os.O_RDWR|unix.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	execs := func(n int) {
		for i := range n {
			id, stdout := fmt.Sprintf("e%d", i), ""
			if i%2 == 0 {
				stdout = out
			}
			r.exec(id, stdout, "true")
			if status := r.wait(id); status != 0 {
				t.Fatalf("exec %s: exit status %d", id, status)
			}
			r.delete(id)
		}
	}
	execs(churnWarm)
	fds, threads := len(descriptors(t, r.process.Pid)), r.threads()
	execs(churnExecs)
	soon(t, "descriptors are as before", func() bool { return len(descriptors(t, r.process.Pid)) <= fds+churnSlack })
	if now := r.threads(); now > threads+churnSlack {
		t.Errorf("%d threads, then %d", threads, now)
	}
	if zombies := r.children("Z"); len(zombies) > 0 {
		t.Errorf("zombies: %v", zombies)
	}
	if dump := r.dump(); strings.Count(dump, "awaitExit") != 1 {
		t.Errorf("goroutines are left:\n%s", dump)
	}
	r.finish()
}

func (r *rig) fifo(name string) string {
	r.t.Helper()
	must(r.t, unix.Mkfifo(r.file(name), 0o600))
	return r.file(name)
}

func (r *rig) threads() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", r.process.Pid))
	must(r.t, err)
	return len(entries)
}

// children lists the shim's children in a state.
func (r *rig) children(state string) []string {
	var found []string
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		data, _ := os.ReadFile(path)
		end := bytes.LastIndexByte(data, ')')
		if end < 0 {
			continue
		}
		if fields := strings.Fields(string(data[end+1:])); fields[0] == state && fields[1] == strconv.Itoa(r.process.Pid) {
			found = append(found, string(data[:end+1]))
		}
	}
	return found
}

// rss is the shim's resident memory in bytes.
func (r *rig) rss() int {
	r.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.process.Pid))
	must(r.t, err)
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	must(r.t, err)
	return pages * os.Getpagesize()
}

// Field report F35: output that nobody reads is not gathered in the shim; the writer blocks.
func TestOutputThatNobodyReadsDoesNotGrowTheShim(t *testing.T) {
	r := newRig(t, nil, "sleep", "1000").start()
	r.run()
	r.exec("warm", r.fifo("warm"), "true")
	r.wait("warm")
	r.delete("warm")
	before := r.rss()
	pid := r.exec("yes", r.fifo("yes"), "yes")
	soon(t, "the writer blocks", func() bool {
		first := written(t, pid)
		time.Sleep(10 * soonPause)
		return first > 0 && first == written(t, pid)
	})
	if grown := r.rss() - before; grown > rssSlack {
		t.Errorf("the shim has grown by %d KiB", grown>>10)
	}
	r.kill("yes", unix.SIGKILL, false)
	r.wait("yes")
	_, err := r.shim.Task.State(r.ctx, &protos.StateRequest{Id: r.config.ID, ExecId: "yes"})
	must(t, err)
	begun := time.Now()
	r.finish()
	if took := time.Since(begun); took > soonLimit {
		t.Errorf("the end took %v", took)
	}
}

// written is how many bytes a process has written.
func written(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			must(t, err)
			return n
		}
	}
	return 0
}
