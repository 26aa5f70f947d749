package bell

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wisp-shim/wisp/internal/leak"
)

const testLimit = 20 * time.Second

func open(t *testing.T, signals ...syscall.Signal) *Bell {
	t.Helper()
	b, err := Open(signals...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// await waits until the bell has rung for s.
func (b *Bell) await(t *testing.T, s syscall.Signal) {
	t.Helper()
	limit := time.After(testLimit)
	for !b.Took(s) {
		select {
		case <-b.C:
		case <-limit:
			t.Fatalf("signal %d has not been told", int(s))
		}
	}
}

func TestABellTellsEachOfItsSignalsOnce(t *testing.T) {
	leak.Check(t)
	b := open(t, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGCHLD)
	defer b.Close()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGCHLD} {
		raise(t, s)
		b.await(t, s)
		if b.Took(syscall.SIGTERM) || b.Took(syscall.SIGUSR1) || b.Took(syscall.SIGCHLD) {
			t.Errorf("after signal %d another is told", int(s))
		}
	}
}

func TestBellsDoNotHearEachOther(t *testing.T) {
	leak.Check(t)
	a, b := open(t, syscall.SIGUSR1), open(t, syscall.SIGUSR2)
	defer a.Close()
	defer b.Close()
	raise(t, syscall.SIGUSR2)
	b.await(t, syscall.SIGUSR2)
	select {
	case <-a.C:
		t.Error("the other bell has rung")
	default:
	}
}

// Whatever the goroutines and threads do, no signal is lost: each is sent when the one before was told.
func TestNoSignalIsLostInATurmoil(t *testing.T) {
	leak.Check(t)
	const rounds = 3000
	b := open(t, syscall.SIGCHLD)
	defer b.Close()
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = make([]byte, 64<<10) // stacks move, collections stop the world
				}
			}
		})
	}
	for range rounds {
		raise(t, syscall.SIGCHLD)
		b.await(t, syscall.SIGCHLD)
	}
	close(stop)
	others.Wait()
}

func TestChildrenHaveDefaultHandlers(t *testing.T) {
	leak.Check(t)
	b := open(t, syscall.SIGTERM)
	defer b.Close()
	err := exec.Command("/bin/sh", "-c", "kill -TERM $$; exit 3").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("a child that gets SIGTERM: %v", err)
	}
	if b.Took(syscall.SIGTERM) {
		t.Error("the child's signal is told here")
	}
}

func TestAClosedBellGivesItsSignalsBack(t *testing.T) {
	leak.Check(t)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	b := open(t, syscall.SIGUSR1)
	b.Close()
	raise(t, syscall.SIGUSR1)
	select {
	case <-c:
	case <-time.After(testLimit):
		t.Error("os/signal hears no more")
	}
}
