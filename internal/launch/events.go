package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/containerd/ttrpc"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// eventBuffer is how many events may wait for the reader of C before a shim's Forward has to wait.
const eventBuffer = 128

// Events serves containerd's event service on a socket, as the daemon does at TTRPC_ADDRESS.
type Events struct {
	server   *ttrpc.Server
	listener net.Listener
	events   chan *protos.Envelope
	closing  chan struct{}
	served   chan error

	// mu guards closed, and that calls grows only while it is false.
	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

var _ protos.EventsService = (*Events)(nil)

// Listen serves on a unix socket (0600) at path until Close. An old socket there is replaced.
func Listen(path string) (*Events, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace events socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("restrict events socket: %w", err)
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("make events server: %w", err)
	}
	e := &Events{
		server:   server,
		listener: listener,
		events:   make(chan *protos.Envelope, eventBuffer),
		closing:  make(chan struct{}),
		served:   make(chan error, 1),
	}
	protos.RegisterEventsService(server, e)
	go e.serve()
	return e, nil
}

// serve runs until Close.
func (e *Events) serve() { e.served <- e.server.Serve(context.Background(), e.listener) }

// C gives the envelopes in the order in which they were acknowledged. It is closed by Close, after what is buffered.
func (e *Events) C() <-chan *protos.Envelope { return e.events }

// Forward takes one event. As containerd does, it refuses one without a namespace, a topic or a time.
func (e *Events) Forward(ctx context.Context, r *protos.ForwardRequest) (*emptypb.Empty, error) {
	envelope := r.GetEnvelope()
	if envelope.GetNamespace() == "" || envelope.GetTopic() == "" || envelope.GetTimestamp().AsTime().Unix() <= 0 {
		return nil, status.Error(codes.InvalidArgument, "event without namespace, topic or timestamp")
	}
	if !e.enter() {
		return nil, status.Error(codes.Unavailable, "events server is closed")
	}
	defer e.calls.Done()
	select {
	case e.events <- envelope:
		return &emptypb.Empty{}, nil
	case <-e.closing:
		return nil, status.Error(codes.Unavailable, "events server is closed")
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// enter counts a call in, unless the server is closed.
func (e *Events) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.calls.Add(1)
	return true
}

// Close ends the server, removes its socket and closes C. It is to be called once.
func (e *Events) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.closing)
	e.calls.Wait()
	close(e.events)
	err := e.server.Close()
	if served := <-e.served; !errors.Is(served, ttrpc.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	// A server that is closed before it has begun to serve leaves the listener to us.
	_ = e.listener.Close()
	if err != nil {
		return fmt.Errorf("close events server: %w", err)
	}
	return nil
}
