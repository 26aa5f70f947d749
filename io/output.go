package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// output is stdout or stderr without a terminal: a pipe from the process and the sink it is moved to.
type output struct {
	name  string
	relay relay
	sink  *sink
	ended chan struct{} // closed when every byte up to the pipe's end is in the sink, or none will be

	cancel  context.CancelFunc // ends the wait for a late reader
	ctx     context.Context
	dropped atomic.Uint64 // bytes that came after the sink had broken

	mu sync.Mutex
	// mu guards:
	failure error // the sink's first error
}

// openOutput makes descriptor n of the process: a pipe to what target names, or /dev/null.
func (s *Streams) openOutput(n int, target string) error {
	if target == "" {
		null, err := s.devNull()
		s.files[n] = null
		return err
	}
	k, err := openSink(target)
	if err != nil {
		return err
	}
	their, our, err := s.pipe(1)
	if err != nil {
		k.close()
		return err
	}
	s.files[n] = their
	src, err := newEnd(our, streamNames[n])
	if err != nil {
		k.close()
		return err
	}
	o := &output{name: streamNames[n], sink: k, ended: make(chan struct{})}
	o.relay.src, o.relay.dst = src, k.write
	o.ctx, o.cancel = context.WithCancel(context.Background())
	s.outputs = append(s.outputs, o)
	return nil
}

var streamNames = [3]string{"stdin", "stdout", "stderr"}

// run moves the stream until its end. It ends with the last writer of the pipe, or with stop; after that it may wait for a late reader, until stop.
func (o *output) run() {
	var err error
	if o.sink.file != nil {
		err = o.copy()
	} else {
		err = o.relay.run()
	}
	if err != nil && !o.relay.src.stopped.Load() {
		o.fail(err)
		o.discard()
	}
	close(o.ended)
	o.relay.src.close()
	o.sink.finish(o.ctx)
}

// copy is for a file, which splice does not append to (splice(2): EINVAL).
func (o *output) copy() error {
	for {
		n, err := o.relay.src.copyOut(never, func(p []byte) error { _, err := o.sink.Write(p); return err })
		o.relay.moved.Add(uint64(n))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// discard keeps the process from blocking on a sink that is broken for good, such as a full disk.
func (o *output) discard() {
	for {
		_, err := o.relay.src.copyOut(never, func(p []byte) error { o.dropped.Add(uint64(len(p))); return nil })
		if err != nil {
			return
		}
	}
}

func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failure == nil {
		o.failure = fmt.Errorf("write %s to %s: %w", o.name, o.sink.path, err)
	}
}

// err is what became of the sink.
func (o *output) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failure == nil {
		return nil
	}
	return fmt.Errorf("%w (%d bytes dropped)", o.failure, o.dropped.Load())
}

// stop ends the stream at once. If run was never started its descriptors are closed here.
func (o *output) stop(running bool) error {
	o.cancel()
	o.relay.src.stop()
	o.sink.stop()
	if !running {
		o.relay.src.close()
		o.sink.close()
	}
	return o.err()
}

// errHeld is what Drain says of a stream that did not end.
var errHeld = errors.New("not all of it was handed on")
