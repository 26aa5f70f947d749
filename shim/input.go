package shim

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

const (
	inputMax      = 10 << 20 // bytes of standard input: as much as containerd's own shim reads
	logLevelDebug = -4       // BootstrapParams.log_level of debug; trace is below it
)

// startInput is what a daemon says to start on standard input, in either protocol.
type startInput struct {
	// modern says that the daemon is containerd 2.3 or later: it sent BootstrapParams and expects a BootstrapResult. Older ones
	// send an Any of options, or nothing, and expect an address.
	modern       bool
	options      *anypb.Any // nil for none
	ttrpcAddress string     // "" for what the environment says
	socketDir    string     // "" for the default
	debug        bool
}

// readInput reads standard input to its end, within a bound.
func readInput(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r, inputMax+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > inputMax {
		return nil, fmt.Errorf("read standard input: more than %d bytes", inputMax)
	}
	return data, nil
}

// parseStartInput tells the two protocols apart. An Any also parses as BootstrapParams, with its type URL as the instance id,
// so a message counts as BootstrapParams only if it names the very id and namespace of the command line (spec 0.3).
func parseStartInput(data []byte, id, namespace string) (startInput, error) {
	var params protos.BootstrapParams
	if err := proto.Unmarshal(data, &params); err == nil && params.InstanceId == id && params.Namespace == namespace {
		return startInput{
			modern:       true,
			options:      findOptions(params.Extensions),
			ttrpcAddress: bundle.TrimAddress(params.ContainerdTtrpcAddress),
			socketDir:    params.GetSocketDir(),
			debug:        params.LogLevel <= logLevelDebug,
		}, nil
	}
	options, err := parseAny(data)
	return startInput{options: options}, err
}

// parseAny parses an Any of options; no bytes are no options.
func parseAny(data []byte) (*anypb.Any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var a anypb.Any
	if err := proto.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("parse standard input: %w: %w", err, bundle.ErrInvalid)
	}
	return &a, nil
}

// findOptions returns the extension that holds runtime options; others are not for us.
func findOptions(extensions []*protos.BootstrapExtension) *anypb.Any {
	for _, e := range extensions {
		if isOptions(e.GetValue()) {
			return e.GetValue()
		}
	}
	return nil
}
