package cgroup

import (
	"os/exec"
	"strconv"
	"testing"
)

// benchCgroup has one process that sleeps, in a v1 cgroup of every controller.
func benchCgroup(b *testing.B) *Cgroup {
	b.Helper()
	name := makeV1(b)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for _, dir := range host().dirs1(ownHierarchies(b), "/"+name) {
		if err := put(dir, "cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
			b.Fatal(err)
		}
	}
	c, err := Load(cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return c
}

func BenchmarkStats(b *testing.B) {
	c := benchCgroup(b)
	for b.Loop() {
		if _, _, err := c.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPids(b *testing.B) {
	c := benchCgroup(b)
	for b.Loop() {
		if _, err := c.Pids(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFreezeThaw(b *testing.B) {
	c := benchCgroup(b)
	for b.Loop() {
		if err := c.Freeze(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := c.Thaw(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOOMKills(b *testing.B) {
	c := benchCgroup(b)
	for b.Loop() {
		if _, err := c.OOMKills(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	c := benchCgroup(b)
	found, err := c.Pids()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Load(found[0]); err != nil {
			b.Fatal(err)
		}
	}
}
