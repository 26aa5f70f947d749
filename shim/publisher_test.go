package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/wisp-shim/wisp/protos"
)

// testLimit is how long a test waits for what must come: far longer than it takes on the slowest machine.
const testLimit = 30 * time.Second

// manager is a daemon's events service on a real socket, that can go away and come back on the same path.
type manager struct {
	path   string
	refuse func(*protos.Envelope) error // nil: acknowledge everything
	flying atomic.Int32
	most   atomic.Int32
	conns  atomic.Int32

	mu       sync.Mutex
	received []*protos.Envelope
	arrived  chan struct{} // capacity 1

	srv  *ttrpc.Server
	done chan error
}

func newManager(t *testing.T) *manager {
	return &manager{path: filepath.Join(t.TempDir(), "events.sock"), arrived: make(chan struct{}, 1)}
}

type countedListener struct {
	net.Listener
	conns *atomic.Int32
}

type countedConn struct {
	net.Conn
	once  sync.Once
	conns *atomic.Int32
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.conns.Add(1)
	return &countedConn{Conn: c, conns: l.conns}, nil
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.conns.Add(-1) })
	return c.Conn.Close()
}

func (m *manager) start(t *testing.T) {
	t.Helper()
	_ = os.Remove(m.path)
	l, err := net.Listen("unix", m.path)
	if err != nil {
		t.Fatal(err)
	}
	if m.srv, err = ttrpc.NewServer(); err != nil {
		t.Fatal(err)
	}
	protos.RegisterEventsService(m.srv, m)
	m.done = make(chan error, 1)
	go func(srv *ttrpc.Server, done chan<- error) {
		done <- srv.Serve(context.Background(), countedListener{l, &m.conns})
	}(m.srv, m.done)
}

func (m *manager) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	if err := m.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	<-m.done
	m.awaitNoConnection(t) // Shutdown does not wait for its goroutines: they would still serve what comes now
}

func (m *manager) awaitNoConnection(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(testLimit); m.conns.Load() != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays open")
		}
	}
}

func (m *manager) Forward(_ context.Context, r *protos.ForwardRequest) (*emptypb.Empty, error) {
	m.most.Store(max(m.most.Load(), m.flying.Add(1)))
	defer m.flying.Add(-1)
	if m.refuse != nil {
		if err := m.refuse(r.Envelope); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	m.received = append(m.received, r.Envelope)
	m.mu.Unlock()
	select {
	case m.arrived <- struct{}{}:
	default:
	}
	return &emptypb.Empty{}, nil
}

// await returns the first n envelopes that were acknowledged.
func (m *manager) await(t *testing.T, n int) []*protos.Envelope {
	t.Helper()
	deadline := time.After(testLimit)
	for {
		m.mu.Lock()
		got := append([]*protos.Envelope(nil), m.received...)
		m.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-m.arrived:
		case <-deadline:
			t.Fatalf("%d events of %d have arrived", len(got), n)
		}
	}
}

// runPublisher runs a publisher until the test ends.
func runPublisher(t *testing.T, address string) *Publisher {
	t.Helper()
	p := NewPublisher(address, "ns", nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(testLimit):
			t.Error("Run does not end with its context")
		}
	})
	return p
}

// publish publishes start events of the pids from..to-1.
func publish(p *Publisher, from, to int) {
	for i := from; i < to; i++ {
		p.Publish(time.Unix(int64(i), 7), protos.TopicStart, protos.TypeTaskStart, &protos.TaskStart{ContainerId: "c", Pid: uint32(i)})
	}
}

// wantSequence checks that exactly the events 0..n-1 are there, in order and whole.
func wantSequence(t *testing.T, got []*protos.Envelope, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("got %d events, want %d", len(got), n)
	}
	for i, e := range got {
		var m protos.TaskStart
		if err := proto.Unmarshal(e.Event.Value, &m); err != nil {
			t.Fatal(err)
		}
		if int(m.Pid) != i || e.Namespace != "ns" || e.Topic != protos.TopicStart || e.Event.TypeUrl != protos.TypeTaskStart {
			t.Fatalf("event %d is %v of pid %d", i, e, m.Pid)
		}
		if at := e.Timestamp.AsTime(); !at.Equal(time.Unix(int64(i), 7)) {
			t.Fatalf("event %d has time %v, not that of the moment", i, at)
		}
	}
}

func TestEventsWaitForADaemonThatIsAwayAndKeepTheirOrder(t *testing.T) {
	m := newManager(t)
	p := runPublisher(t, m.path)
	publish(p, 0, 100)
	m.start(t)
	m.await(t, 100)
	// The daemon leaves with nothing in flight: an acknowledgement that it takes along would make the event come twice, as it should.
	flush(t, p)
	m.stop(t)
	publish(p, 100, 200)
	m.start(t)
	publish(p, 200, 300)
	wantSequence(t, m.await(t, 300), 300)
	m.stop(t)
	if most := m.most.Load(); most != 1 {
		t.Errorf("%d events were in flight at once", most)
	}
}

func TestASlowDaemonDoesNotBlockPublish(t *testing.T) {
	m := newManager(t)
	release := make(chan struct{})
	m.refuse = func(*protos.Envelope) error { <-release; return nil }
	m.start(t)
	p := runPublisher(t, m.path)
	publish(p, 0, 500)
	close(release)
	wantSequence(t, m.await(t, 500), 500)
	m.stop(t)
}

func TestARefusedEventDoesNotHoldUpTheOnesBehindIt(t *testing.T) {
	m := newManager(t)
	m.refuse = func(e *protos.Envelope) error {
		if e.Topic == protos.TopicOOM {
			return status.Error(codes.InvalidArgument, "bad topic")
		}
		return nil
	}
	m.start(t)
	p := runPublisher(t, m.path)
	p.Publish(time.Now(), protos.TopicOOM, protos.TypeTaskOOM, &protos.TaskOOM{ContainerId: "c"})
	publish(p, 0, 3)
	wantSequence(t, m.await(t, 3), 3)
	flush(t, p)
	m.stop(t)
	if s := string(p.AppendStatus(nil)); !strings.Contains(s, "sent=3 queued=0 retries=0 refused=1 dropped=0") {
		t.Errorf("counters are %q", s)
	}
}

func flush(t *testing.T, p *Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFlushReturnsOnceAllIsDelivered(t *testing.T) {
	m := newManager(t)
	m.start(t)
	p := runPublisher(t, m.path)
	flush(t, p) // nothing queued
	publish(p, 0, 50)
	flush(t, p)
	m.mu.Lock()
	got := m.received
	m.mu.Unlock()
	wantSequence(t, got, 50)
	m.stop(t)
}

func TestFlushIsBoundedByItsContext(t *testing.T) {
	p := runPublisher(t, newManager(t).path)
	publish(p, 0, 5)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 not delivered") {
		t.Fatalf("Flush returned %v", err)
	}
}

func TestAnIdleConnectionIsClosedAndMadeAnew(t *testing.T) {
	m := newManager(t)
	m.start(t)
	p := runPublisher(t, m.path)
	publish(p, 0, 1)
	m.await(t, 1)
	m.awaitNoConnection(t)
	publish(p, 1, 2)
	wantSequence(t, m.await(t, 2), 2)
	m.stop(t)
}

func TestADaemonThatHangsIsLeftForTheNextOne(t *testing.T) {
	t.Parallel() // takes as long as a call may
	m := newManager(t)
	l, err := net.Listen("unix", m.path)
	if err != nil {
		t.Fatal(err)
	}
	p := runPublisher(t, m.path)
	publish(p, 0, 10)
	c, err := l.Accept() // and no answer
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	m.start(t)
	wantSequence(t, m.await(t, 10), 10)
	m.stop(t)
}

func TestWithoutAnAddressEventsGoNowhere(t *testing.T) {
	p := runPublisher(t, "")
	publish(p, 0, 10)
	flush(t, p)
	if n := p.queue.len(); n != 0 {
		t.Errorf("%d events are kept", n)
	}
}

func TestWhatAFailureMeansForTheEvent(t *testing.T) {
	for _, c := range []struct {
		err  error
		want failure
	}{
		{fmt.Errorf("%w: x", errNotConnected), daemonAway},
		{ttrpc.ErrClosed, daemonAway},
		{context.DeadlineExceeded, daemonAway},
		{errors.New("write: connection reset by peer"), daemonAway},
		{status.Error(codes.Unavailable, ""), daemonAway},
		{status.Error(codes.Unknown, ""), answeredError},
		{status.Error(codes.Internal, ""), answeredError},
		{status.Error(codes.InvalidArgument, ""), refusedForGood},
		{status.Error(codes.Unimplemented, ""), refusedForGood},
		{ttrpc.OversizedMessageError(5 << 20), refusedForGood},
	} {
		if got := classify(c.err); got != c.want {
			t.Errorf("classify(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
