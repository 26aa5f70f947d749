package shim

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// replyMax is what fits into a ttrpc message (4 MiB) with room for the frame around it. ttrpc drops the whole connection for a reply that is larger.
const replyMax = 4<<20 - 1024

// guard stands before every request: what goes wrong in one is answered and survived, for a shim that dies orphans a container.
type guard struct {
	log      *Logger
	counters *Counters
	quiet    *quiet
}

// intercept is a ttrpc.UnaryServerInterceptor.
func (g *guard) intercept(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (reply any, err error) {
	begun := time.Now()
	waits := strings.HasSuffix(info.FullMethod, "/Wait")
	if waits {
		g.quiet.stir()
	} else {
		g.quiet.begin()
	}
	defer func() {
		if p := recover(); p != nil {
			reply, err = nil, g.survive(info.FullMethod, p)
		}
		g.counters.Observe(info.FullMethod, time.Since(begun), err)
		if waits {
			g.quiet.stir()
		} else {
			g.quiet.end()
		}
	}()
	reply, err = method(ctx, func(request any) error { return parseRequest(unmarshal, request) })
	if err != nil {
		g.log.Debug("request failed", "method", info.FullMethod, "error", err)
		return nil, wireError(err)
	}
	if m, ok := reply.(proto.Message); ok {
		if size := proto.Size(m); size > replyMax {
			return nil, status.Errorf(codes.ResourceExhausted, "reply of %s has %d bytes: more than the %d of a message", info.FullMethod, size, replyMax)
		}
	}
	return reply, nil
}

// parseRequest gives what is no message of the method's type its right code: ttrpc calls that an internal error.
func parseRequest(unmarshal ttrpc.Unmarshaler, request any) error {
	if err := unmarshal(request); err != nil {
		return status.Errorf(codes.InvalidArgument, "parse request: %s", status.Convert(err).Message())
	}
	return nil
}

// survive logs a panic with its stack and makes an answer of it.
func (g *guard) survive(method string, p any) error {
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	g.log.Error("request panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(stack))
	return status.Errorf(codes.Internal, "%s panicked: %v", method, p)
}
