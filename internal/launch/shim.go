package launch

import (
	"context"
	"fmt"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Task is the task service as a client sees it. Versions 2 and 3 differ in the service's name alone, so one interface stands for both.
type Task = protos.V3TaskService

// Shim is a connection to a running shim.
type Shim struct {
	Answer
	Client *ttrpc.Client
	Task   Task // of the version that the shim answered
	config Config
}

// Dial connects to the shim that gave the answer. A dead socket fails at once: nothing is waited for.
func Dial(ctx context.Context, a Answer) (*Shim, error) {
	target := a.Path()
	if target == "" {
		target = "@" + bundle.TrimAddress(a.Address) // abstract
	}
	dialer := net.Dialer{Timeout: dialLimit}
	conn, err := dialer.DialContext(ctx, "unix", target)
	if err != nil {
		return nil, fmt.Errorf("dial shim: %w", err)
	}
	client := ttrpc.NewClient(conn)
	shim := &Shim{Answer: a, Client: client}
	if a.Version >= 3 {
		shim.Task = protos.NewV3TaskClient(client)
	} else {
		shim.Task = protos.NewV2TaskClient(client)
	}
	return shim, nil
}

// Close ends the connection and leaves the shim alone.
func (s *Shim) Close() error {
	if err := s.Client.Close(); err != nil {
		return fmt.Errorf("close connection to shim: %w", err)
	}
	return nil
}

// Delete runs delete of the binary that Start ran. It is for after Shutdown, or for a shim that has died.
func (s *Shim) Delete(ctx context.Context) (*protos.DeleteResponse, error) {
	return Delete(ctx, s.config)
}

// Message gives the text of an error of a call without ttrpc's wrapping: the shim's own words, which carry the runtime's.
func Message(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}

// Code gives the code of an error of a call; codes.Unknown for an error that is not from a shim.
func Code(err error) codes.Code { return status.Code(err) }
