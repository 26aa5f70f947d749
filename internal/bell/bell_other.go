//go:build !amd64 && !arm64

package bell

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Bell rings for some signals. Here it is one of os/signal's.
type Bell struct {
	C <-chan struct{} // receives when one or more have come: ask Took

	in   chan os.Signal
	done chan struct{} // closed when listen has ended

	mu sync.Mutex
	// mu guards:
	seen map[os.Signal]bool
}

// Open makes a bell for signals. The caller closes it.
func Open(signals ...syscall.Signal) (*Bell, error) {
	c := make(chan struct{}, 1)
	b := &Bell{C: c, in: make(chan os.Signal, 8), done: make(chan struct{}), seen: map[os.Signal]bool{}}
	for _, s := range signals {
		signal.Notify(b.in, s)
	}
	go b.listen(c)
	return b, nil
}

func (b *Bell) listen(c chan<- struct{}) {
	defer close(b.done)
	for s := range b.in {
		b.mu.Lock()
		b.seen[s] = true
		b.mu.Unlock()
		select {
		case c <- struct{}{}:
		default: // it has been told, and has not looked yet
		}
	}
}

// Took tells whether a signal has come since it was asked last.
func (b *Bell) Took(s syscall.Signal) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := b.seen[s]
	delete(b.seen, s)
	return took
}

// Close gives the signals back to whom they belonged before.
func (b *Bell) Close() {
	signal.Stop(b.in)
	close(b.in)
	<-b.done
}
