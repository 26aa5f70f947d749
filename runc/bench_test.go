package runc

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/wisp-shim/wisp/reaper"
)

// The driver's own cost is the difference between the driver's calls and the bare
// spawn of the same program, which has the same environment and ignores its arguments.
func BenchmarkSpawnAlone(b *testing.B) {
	null := [3]*os.File{}
	cmd := reaper.Command{Path: "/bin/true", Args: []string{"true"}, Env: os.Environ(), Files: null[:], Setpgid: true}
	b.ReportAllocs()
	for b.Loop() {
		p, err := theReaper.Start(cmd)
		must(b, err)
		<-p.Done()
	}
}

func benchRuntime(b *testing.B) *Runtime {
	log := filepath.Join(b.TempDir(), "log.json")
	must(b, os.WriteFile(log, nil, 0o600))
	return &Runtime{Binary: "true", Root: "/r", Log: log, Spawn: theReaper.Start}
}

func BenchmarkCreate(b *testing.B) {
	r := benchRuntime(b)
	o := CreateOptions{Bundle: "/b", PidFile: "/b/init.pid"}
	b.ReportAllocs()
	for b.Loop() {
		must(b, r.Create(context.Background(), "id", o))
	}
}

func BenchmarkStart(b *testing.B) {
	r := benchRuntime(b)
	b.ReportAllocs()
	for b.Loop() {
		must(b, r.Start(context.Background(), "id"))
	}
}
