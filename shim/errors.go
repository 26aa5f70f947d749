package shim

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/proc"
	"github.com/wisp-shim/wisp/runc"
)

// errUnimplemented is the class of requests that this shim does not serve.
var errUnimplemented = errors.New("not implemented")

// wireCodes is the one place where kinds of error become codes. The first that matches counts, so the more telling stand first. What matches none is
// Unknown, as with containerd's shim: so go the runtime's own words.
var wireCodes = []struct {
	kind error
	code codes.Code
}{
	{errUnimplemented, codes.Unimplemented},
	{proc.ErrInvalid, codes.InvalidArgument},
	{bundle.ErrInvalid, codes.InvalidArgument},
	{proc.ErrPrecondition, codes.FailedPrecondition},
	{proc.ErrNotFound, codes.NotFound},
	{proc.ErrExists, codes.AlreadyExists},
	{runc.ErrExists, codes.AlreadyExists},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{runc.ErrTimeout, codes.DeadlineExceeded},
}

// wireError gives err its code. Its text goes over whole, for peers look in it for the runtime's words.
func wireError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, w := range wireCodes {
		if errors.Is(err, w.kind) {
			return status.Error(w.code, err.Error())
		}
	}
	return status.Error(codes.Unknown, err.Error())
}
