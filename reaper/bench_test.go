package reaper

import (
	"os"
	"syscall"
	"testing"
)

// BenchmarkStart is start, exit and reap of a program that does nothing.
func BenchmarkStart(b *testing.B) {
	c := Command{Path: trueBinary(), Args: []string{"true"}}
	b.ReportAllocs()
	for b.Loop() {
		p, err := shared.reaper.Start(c)
		if err != nil {
			b.Fatal(err)
		}
		<-p.Done()
	}
}

// BenchmarkRawForkExec is the same with syscall alone. It is no strict floor: its wait4
// blocks, which has the Go scheduler hand the thread's P over.
func BenchmarkRawForkExec(b *testing.B) {
	if err := shared.stop(); err != nil {
		b.Fatal(err)
	}
	defer shared.start()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	attr := &syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}}
	path := trueBinary()
	b.ReportAllocs()
	for b.Loop() {
		pid, err := syscall.ForkExec(path, []string{"true"}, attr)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStartParallel is a storm of execs.
func BenchmarkStartParallel(b *testing.B) {
	c := Command{Path: trueBinary(), Args: []string{"true"}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := shared.reaper.Start(c)
			if err != nil {
				b.Error(err)
				return
			}
			<-p.Done()
		}
	})
}

// trueBinary is a static program if there is one.
func trueBinary() string {
	const static = "/bin/busybox"
	if _, err := os.Stat(static); err == nil {
		return static
	}
	return "/bin/true"
}
