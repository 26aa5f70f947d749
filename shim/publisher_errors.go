package shim

import (
	"context"
	"errors"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failure says what a failed attempt to publish means for the event.
type failure int

const (
	daemonAway     failure = iota // nobody has answered: try for ever
	answeredError                 // an answer that may be different next time
	refusedForGood                // an answer that will stay the same
)

// classify sorts the error of an attempt to publish.
func classify(err error) failure {
	var tooLarge *ttrpc.OversizedMessageErr
	if errors.As(err, &tooLarge) {
		return refusedForGood
	}
	if errors.Is(err, errNotConnected) || errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return daemonAway
	}
	s, ok := status.FromError(err)
	if !ok {
		return daemonAway
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.Unimplemented, codes.OutOfRange, codes.ResourceExhausted, codes.PermissionDenied:
		return refusedForGood
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return daemonAway
	default:
		return answeredError
	}
}
