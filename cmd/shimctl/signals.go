package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	// stepLimit is how long a step of the setting-up may go on after a signal has asked to stop: a step that ends is easier to take back.
	stepLimit = 3 * time.Second
	// enough is how often INT or TERM is to be sent to a container that does not end of it, until it is killed.
	enough = 3
)

// relay takes all signals from its making until close, so that none ends us half way. Before deliver is called one that would end us is
// remembered as the wish to abort, and ends ctx if the present step takes too long; after hold all are kept for the container, which may be
// running before we are told so. After deliver they go where it says.
type relay struct {
	ctx     context.Context // ends when the setting-up is to be given up
	cancel  context.CancelFunc
	signals chan os.Signal
	done    chan struct{}

	mu     sync.Mutex // guards what follows
	sink   func(syscall.Signal)
	resize func()
	abort  syscall.Signal
	keep   bool
	kept   []os.Signal
	timer  *time.Timer
	asked  int
}

func newRelay() *relay {
	r := &relay{signals: make(chan os.Signal, 32), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	// SIGPIPE is taken, so that a write fails with EPIPE instead; being taken and not ignored, it stays as it was for what we start.
	signal.Notify(r.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGWINCH, syscall.SIGPIPE)
	return r
}

// run hands signals on until close.
func (r *relay) run() {
	defer close(r.done)
	for s := range r.signals {
		if sig := s.(syscall.Signal); sig != syscall.SIGPIPE {
			if act := r.choose(sig); act != nil {
				act()
			}
		}
	}
}

// choose says what a signal means at this moment, without doing it.
func (r *relay) choose(sig syscall.Signal) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if sig == syscall.SIGWINCH && r.resize != nil {
		return r.resize
	}
	if r.sink == nil {
		r.waitLocked(sig)
		return nil
	}
	if sig == syscall.SIGINT || sig == syscall.SIGTERM {
		if r.asked++; r.asked >= enough {
			sig = syscall.SIGKILL
		}
	}
	sink := r.sink
	return func() { sink(sig) }
}

// waitLocked does with a signal what is done while there is nobody to deliver it to.
func (r *relay) waitLocked(sig syscall.Signal) {
	ends := sig != syscall.SIGWINCH && sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2
	switch {
	case r.keep:
		r.kept = append(r.kept, sig)
	case ends && r.abort == 0:
		r.abort = sig
	}
	if ends && r.timer == nil {
		r.timer = time.AfterFunc(stepLimit, r.cancel)
	}
}

// hold keeps signals from now on until deliver, which sends them on.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = true
}

// deliver sends signals to sink from now on, those that were kept first. sink is called by the goroutine of run alone.
func (r *relay) deliver(sink func(syscall.Signal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.sink = sink
	for _, sig := range r.kept {
		select {
		case r.signals <- sig:
		default: // as the kernel does when too many of one kind wait
		}
	}
	r.kept = nil
}

// onResize has resize called at each SIGWINCH from now on.
func (r *relay) onResize(resize func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resize = resize
}

// aborted is the signal that came before there was anybody to deliver it to; 0 if none did.
func (r *relay) aborted() syscall.Signal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.abort
}

// close gives the signals back and returns when the goroutine of run has ended.
func (r *relay) close() {
	signal.Stop(r.signals)
	close(r.signals)
	<-r.done
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
}
