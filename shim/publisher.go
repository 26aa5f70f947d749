package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

const (
	publishCall     = 5 * time.Second        // one Forward, dialling included: what the daemon itself allows for an event
	publishIdle     = quietAfter / 2         // an unused connection costs goroutines and buffers: it is closed before memory goes back to the system
	publishRetryMin = 100 * time.Millisecond // pause after the first failure; doubles up to publishRetryMax
	publishRetryMax = 5 * time.Second        // a restarted daemon gets what it has missed within this time
)

// publishAnswered is how often an event may be answered with an error that is neither final nor the daemon's absence. It
// is dropped then, so that the events behind it are not held up for ever.
const publishAnswered = 10

// Publisher hands a shim's events to its manager: in order, each one until it is acknowledged.
//
// Publish queues; Run, the one goroutine that sends, has at most one event in flight, so no event can overtake another.
// While the manager is away events wait in memory, at most queueLimit of them (see eventQueue for what gives way). An
// acknowledgement that is lost makes an event arrive twice; nothing makes it arrive never.
type Publisher struct {
	address   string
	namespace string
	log       *Logger

	queue *eventQueue
	hurry chan struct{} // ends a pause between retries: somebody waits in Flush

	// Run's own.
	conn    net.Conn
	client  *ttrpc.Client
	service protos.EventsService

	mu sync.Mutex
	// mu guards what follows.
	sent, retries, refused uint64
}

// NewPublisher returns a publisher that sends to the unix socket at address (a plain path) once it is run. With an empty
// address events go nowhere: that is said once in the log.
func NewPublisher(address, namespace string, log *Logger) *Publisher {
	return &Publisher{
		address:   bundle.TrimAddress(address),
		namespace: namespace,
		log:       log,
		queue:     newEventQueue(queueLimit),
		hurry:     make(chan struct{}, 1),
	}
}

// Publish queues the event m of type typeName that happened at the moment at. It marshals m at once and never blocks.
func (p *Publisher) Publish(at time.Time, topic, typeName string, m proto.Message) {
	if p.address == "" {
		return
	}
	value, err := proto.Marshal(m)
	if err != nil {
		p.log.Error("marshal event", "topic", topic, "error", err)
		return
	}
	dropped := p.queue.push(event{at: at, topic: topic, typeName: typeName, value: value})
	if dropped > 0 {
		p.log.Warn("event queue is full: oldest events dropped", "dropped", dropped)
	}
}

// Run sends queued events until ctx ends. What is still queued then is lost: call Flush before.
func (p *Publisher) Run(ctx context.Context) {
	if p.address == "" {
		p.log.Warn("no address to publish events to: events are not sent")
		return
	}
	defer p.disconnect()
	for {
		e, ok := p.queue.first()
		if !ok {
			if !p.idle(ctx) {
				return
			}
			continue
		}
		if !p.deliver(ctx, e) {
			return
		}
		p.queue.done()
	}
}

// idle waits for an event and closes the connection when none comes for a while. It returns false when ctx has ended.
func (p *Publisher) idle(ctx context.Context) bool {
	var timeout <-chan time.Time
	if p.client != nil {
		timer := time.NewTimer(publishIdle)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-p.queue.wake:
	case <-timeout:
		p.disconnect()
	}
	return true
}

// deliver sends e until it is acknowledged or refused for good. It returns false when ctx has ended before.
func (p *Publisher) deliver(ctx context.Context, e event) bool {
	answered := 0
	for pause := publishRetryMin; ; pause = min(2*pause, publishRetryMax) {
		err := p.forward(ctx, e)
		if err == nil {
			p.count(&p.sent)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		kind := classify(err)
		if kind == answeredError {
			answered++
		}
		if kind == refusedForGood || answered == publishAnswered {
			p.count(&p.refused)
			p.log.Error("event refused and dropped", "topic", e.topic, "error", err)
			return true
		}
		p.disconnect()
		p.count(&p.retries)
		p.log.Debug("publish event: will retry", "topic", e.topic, "pause", pause, "error", err)
		if p.pause(ctx, pause) {
			pause = publishRetryMin / 2
		}
		if ctx.Err() != nil {
			return false
		}
	}
}

// pause waits for d, for the end of ctx, or for Flush, which wants haste: then it returns true.
func (p *Publisher) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-p.hurry:
		return true
	}
	return false
}

// forward makes one attempt.
func (p *Publisher) forward(ctx context.Context, e event) error {
	ctx, cancel := context.WithTimeout(ctx, publishCall)
	defer cancel()
	if err := p.connect(); err != nil {
		return err
	}
	// ttrpc writes without looking at ctx: a daemon that is stopped and does not read must not hold us.
	deadline, _ := ctx.Deadline()
	if err := p.conn.SetWriteDeadline(deadline); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	_, err := p.service.Forward(ctx, &protos.ForwardRequest{Envelope: &protos.Envelope{
		Timestamp: timestamppb.New(e.at),
		Namespace: p.namespace,
		Topic:     e.topic,
		Event:     &anypb.Any{TypeUrl: e.typeName, Value: e.value},
	}})
	return err
}

// connect connects unless it is connected. It cannot hang: a unix socket whose backlog is full refuses at once a descriptor that does not block.
func (p *Publisher) connect() error {
	if p.client != nil {
		return nil
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: p.address, Net: "unix"})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotConnected, err)
	}
	p.conn = conn
	p.client = ttrpc.NewClient(conn)
	p.service = protos.NewEventsClient(p.client)
	return nil
}

// disconnect closes the connection, if there is one, and waits until its goroutine has ended.
func (p *Publisher) disconnect() {
	if p.client == nil {
		return
	}
	_ = p.client.Close() // never fails
	_ = p.client.UserOnCloseWait(context.Background())
	p.conn, p.client, p.service = nil, nil, nil
}

// Flush waits until every event queued so far has been delivered. It returns an error when ctx ends before.
func (p *Publisher) Flush(ctx context.Context) error {
	if p.address == "" {
		return nil
	}
	select {
	case p.hurry <- struct{}{}:
	default:
	}
	select {
	case <-p.queue.drained():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush events: %d not delivered: %w", p.queue.len(), ctx.Err())
	}
}

func (p *Publisher) count(n *uint64) {
	p.mu.Lock()
	*n++
	p.mu.Unlock()
}

// AppendStatus adds the publisher's counters to b, for a dump.
func (p *Publisher) AppendStatus(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	queued, dropped := p.queue.counts()
	return fmt.Appendf(b, "events sent=%d queued=%d retries=%d refused=%d dropped=%d\n", p.sent, queued, p.retries, p.refused, dropped)
}

// errNotConnected is a failure before the daemon could see the event.
var errNotConnected = errors.New("not connected")
