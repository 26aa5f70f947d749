package shim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/bundle"
)

func TestADumpHasAllStacksAndTheCounters(t *testing.T) {
	dir := makeLogFIFO(t)
	l := openTestLog(t, dir, false)
	var c Counters
	c.Observe("rpc State", time.Millisecond, nil)
	c.Observe("rpc State", 3*time.Millisecond, context.DeadlineExceeded)
	c.Observe("rpc Kill", time.Second, errors.New("x"))
	started, stop := make(chan struct{}), make(chan struct{})
	defer close(stop)
	go waitForTheEnd(started, stop)
	<-started
	d := Dumper{Dir: dir, Log: l, Sections: []func([]byte) []byte{c.AppendStatus, l.AppendStatus}}
	if err := d.Dump(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, bundle.DumpFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"waitForTheEnd", "TestADumpHasAllStacks",
		"rpc Kill: calls=1 failed=1 timed_out=0 mean=1s longest=1s\n",
		"rpc State: calls=2 failed=1 timed_out=1 mean=2ms longest=3ms\n",
		"log lines dropped=0\n",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is not in the dump", want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if got := readLog(t, dir); !strings.Contains(got, "goroutine stacks written") {
		t.Errorf("log says %q", got)
	}
}

func waitForTheEnd(started chan<- struct{}, stop <-chan struct{}) {
	close(started)
	<-stop
}

func TestADumpWhoseCountersHangStillHasTheStacks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, bundle.DumpFile)
	checked := false
	d := Dumper{Dir: dir, Sections: []func([]byte) []byte{func(b []byte) []byte {
		data, err := os.ReadFile(path) // this is the moment at which it may hang
		checked = err == nil && strings.Contains(string(data), "goroutine ")
		return b
	}}}
	if err := d.Dump(); err != nil || !checked {
		t.Error(err, checked)
	}
}
