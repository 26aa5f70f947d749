package proc

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/runc/runctest"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

// Properties, whatever the interleaving of requests and deaths:
//   - create, start, exit, delete of init come in this order, each once; start may be missing
//   - added, started, exit of an exec come in this order, each at most once
//   - every exec's exit comes before init's
//   - the exit that Wait tells is the one in the event
func TestRandomInterleavings(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: repeat with -seed %[1]d", s)
	for i := range uint64(6) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			randomLife(t, rand.New(rand.NewPCG(s, i)))
		})
	}
}

func randomLife(t *testing.T, r *rand.Rand) {
	f := newFixture(t, runctest.Config{Args: []string{"/bin/busybox", "sleep", "1000"}, SharedPID: r.IntN(3) == 0})
	task := f.create()
	var work sync.WaitGroup
	pause := func(r *rand.Rand) { time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond) }
	if r.IntN(5) > 0 {
		if _, err := task.Start(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 + r.IntN(4) {
		r := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		work.Go(func() { f.randomExec(task, fmt.Sprintf("e%d", i), r, pause) })
	}
	for i := range 3 {
		r := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		work.Go(func() { meddle(task, r, pause) })
	}
	killer := rand.New(rand.NewPCG(r.Uint64(), 99))
	work.Go(func() {
		pause(killer)
		pause(killer)
		_ = task.Kill(context.Background(), "", syscall.SIGKILL, killer.IntN(2) == 0)
	})
	work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = task.Resume(ctx)
	_ = task.Kill(ctx, "", syscall.SIGKILL, true)
	exit := await(t, task, "")
	if _, err := task.Delete(ctx, ""); err != nil {
		t.Fatal(err)
	}
	checkOrder(t, f.seen(), exit)
}

func (f *fixture) randomExec(task *Task, id string, r *rand.Rand, pause func(*rand.Rand)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pause(r)
	script := []string{"exit 0", "sleep 0.1", "sleep 1000", "kill -9 $$"}[r.IntN(4)]
	if task.Exec(ctx, id, Stdio{}, processJSON("/bin/busybox", "sh", "-c", script)) != nil {
		return
	}
	if _, err := task.Start(ctx, id); err != nil {
		return
	}
	if r.IntN(2) == 0 {
		pause(r)
		_ = task.Kill(ctx, id, syscall.SIGKILL, r.IntN(2) == 0)
		_, _ = task.Wait(ctx, id)
		_, _ = task.Delete(ctx, id)
	}
}

// meddle asks for things at the wrong time.
func meddle(task *Task, r *rand.Rand, pause func(*rand.Rand)) {
	ctx := context.Background()
	for range 5 {
		pause(r)
		switch r.IntN(6) {
		case 0:
			_ = task.Pause(ctx)
			_ = task.Resume(ctx)
		case 1:
			_, _ = task.State("")
			_, _ = task.Pids(ctx)
		case 2:
			_, _ = task.Start(ctx, "")
		case 3:
			_ = task.Kill(ctx, "", 0, false)
		case 4:
			_ = task.CloseIO("")
			_ = task.ResizePty("", 80, 24)
		case 5:
			_, _, _ = task.Stats()
		}
	}
}

func checkOrder(t *testing.T, events []Event, exit Exited) {
	t.Helper()
	words := kinds(events)
	at := map[string]int{}
	for i, w := range words {
		if _, twice := at[w]; twice && w != "paused" && w != "resumed" {
			t.Errorf("%s is told twice: %v", w, words)
		}
		at[w] = i
	}
	before := func(a, b string) {
		t.Helper()
		i, okA := at[a]
		j, okB := at[b]
		if okB && (!okA || i > j) {
			t.Errorf("%s is not before %s: %v", a, b, words)
		}
	}
	before("create", "exit")
	before("exit", "delete")
	if _, started := at["start"]; started {
		before("start", "exit")
	}
	for _, e := range events {
		if e.Exec == "" {
			if e.Kind == EventExit && e.Exit != exit.Exit {
				t.Errorf("event says %+v, Wait said %+v", e.Exit, exit.Exit)
			}
			continue
		}
		before("added:"+e.Exec, "started:"+e.Exec)
		before("started:"+e.Exec, "exit:"+e.Exec)
		if _, started := at["started:"+e.Exec]; started {
			before("exit:"+e.Exec, "exit")
		}
	}
	if strings.Join(words, " ") == "" {
		t.Error("no events")
	}
}
