package launch

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func listen(t *testing.T) (*Events, protos.EventsService) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "e")
	events, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { _ = client.Close() })
	return events, protos.NewEventsClient(client)
}

func envelope(topic string) *protos.ForwardRequest {
	return &protos.ForwardRequest{Envelope: &protos.Envelope{Namespace: "n", Topic: topic, Timestamp: timestamppb.Now()}}
}

// Events come in the order in which they were sent, more of them than are buffered, and those taken before Close are given after it.
func TestEventsKeepOrder(t *testing.T) {
	events, client := listen(t)
	const count = 3 * eventBuffer
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range count {
			if _, err := client.Forward(context.Background(), envelope(strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range count - eventBuffer {
		if got := (<-events.C()).GetTopic(); got != strconv.Itoa(i) {
			t.Fatalf("event %s, want %d", got, i)
		}
	}
	sender.Wait()
	if err := events.Close(); err != nil {
		t.Error(err)
	}
	next := count - eventBuffer
	for e := range events.C() {
		if e.GetTopic() != strconv.Itoa(next) {
			t.Fatalf("event %s, want %d", e.GetTopic(), next)
		}
		next++
	}
	if next != count {
		t.Errorf("%d events, want %d", next, count)
	}
}

// As containerd does, the server refuses an event without namespace, topic or time.
func TestIncompleteEventIsRefused(t *testing.T) {
	events, client := listen(t)
	for name, spoil := range map[string]func(*protos.Envelope){
		"namespace": func(e *protos.Envelope) { e.Namespace = "" },
		"topic":     func(e *protos.Envelope) { e.Topic = "" },
		"timestamp": func(e *protos.Envelope) { e.Timestamp = nil },
	} {
		request := envelope("/x")
		spoil(request.Envelope)
		if _, err := client.Forward(t.Context(), request); Code(err) != codes.InvalidArgument {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if err := events.Close(); err != nil {
		t.Error(err)
	}
}

// Close ends a Forward that nobody takes the event of, and removes the socket.
func TestCloseWithNoReader(t *testing.T) {
	events, client := listen(t)
	path := events.listener.Addr().String()
	var sender sync.WaitGroup
	full := make(chan struct{})
	sender.Go(func() {
		for i := range eventBuffer + 1 {
			if i == eventBuffer {
				close(full)
			}
			if _, err := client.Forward(context.Background(), envelope("/x")); err != nil {
				return
			}
		}
		t.Error("more events were taken than there is room for")
	})
	<-full
	if err := events.Close(); err != nil {
		t.Error(err)
	}
	sender.Wait()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket remains: %v", err)
	}
}

// Close hands on what a shim wrote last, and a log that nobody writes to ends all the same.
func TestLogIsHandedOnWhole(t *testing.T) {
	dir := t.TempDir()
	var shown bytes.Buffer
	log, err := OpenLog(dir, &shown)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a shim may reopen it
		fifo, err := os.OpenFile(filepath.Join(dir, bundle.LogFile), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fifo.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		if err := fifo.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if shown.String() != "line\nline\n" {
		t.Errorf("log %q", shown.String())
	}
}
