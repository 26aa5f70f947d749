package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// A daemon kills a start that takes too long. Whatever the moment, there is a server that `delete` can dismiss, or none.
func TestAStartThatIsKilledHalfWayLeavesNothing(t *testing.T) {
	const rounds, latest = 60, 6 * time.Millisecond
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, nil, "true")
	killed := 0
	for range rounds {
		ctx, cancel := context.WithTimeout(r.ctx, time.Duration(random.Int64N(int64(latest))))
		shim, err := launch.Start(ctx, r.config)
		cancel()
		if err == nil {
			must(t, shim.Close())
		} else {
			killed++
		}
		_, err = launch.Delete(r.ctx, r.config)
		must(t, err)
		soon(t, "nothing is left", func() bool { return len(r.leftovers()) == 0 })
	}
	if killed == 0 {
		t.Error("no start was killed")
	}
}

// Who looks for a start that hangs, with ps, must not find every server.
func TestAServerDoesNotLookLikeAStart(t *testing.T) {
	r := newRig(t, nil, "true").start()
	response, err := r.shim.Task.Connect(r.ctx, &protos.ConnectRequest{Id: r.config.ID})
	must(t, err)
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", response.GetShimPid()))
	must(t, err)
	words := strings.Fields(strings.ReplaceAll(string(data), "\x00", " "))
	if last := words[len(words)-1]; last == "start" || !strings.Contains(string(data), "-id\x00"+r.config.ID+"\x00") {
		t.Errorf("the server's command line is %q", words)
	}
}
