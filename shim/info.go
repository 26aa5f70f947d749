package shim

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/protos"
	"github.com/wisp-shim/wisp/reaper"
	"github.com/wisp-shim/wisp/runc"
)

// featuresTimeout is what the runtime may take to tell its features: a daemon waits for -info at every first Create.
const featuresTimeout = 2 * time.Second

// printInfo answers -info (spec 1.9): who we are, the options that were sent, and what the runtime says it can do. A runtime that
// is missing or does not know `features` is no error: the daemon would ask again at every Create.
func printInfo(ctx context.Context, env Environment) error {
	data, err := readInput(env.Stdin)
	if err != nil {
		return err
	}
	options, err := parseAny(data)
	if err != nil {
		return err
	}
	version, revision := buildVersion()
	info := &protos.RuntimeInfo{
		Name:    RuntimeName,
		Version: &protos.RuntimeVersion{Version: version, Revision: revision},
		Options: options,
	}
	if o, err := decodeOptions(options); err == nil {
		ctx, cancel := context.WithTimeout(ctx, featuresTimeout)
		defer cancel()
		if features := readFeatures(ctx, o.BinaryName); len(features) > 0 {
			info.Features = &anypb.Any{TypeUrl: protos.TypeFeatures, Value: features}
		}
	}
	out, err := proto.Marshal(info)
	if err != nil {
		return fmt.Errorf("marshal info: %w", err)
	}
	if _, err := env.Stdout.Write(out); err != nil {
		return fmt.Errorf("print info: %w", err)
	}
	return nil
}

// readFeatures returns what `runtime features` prints, nothing if it fails.
func readFeatures(ctx context.Context, binary string) (features []byte) {
	_ = withReaper(func(r *reaper.Reaper) (err error) {
		features, err = (&runc.Runtime{Binary: binary, Spawn: r.Start}).Features(ctx)
		return err
	})
	return features
}

// printVersion answers -v, in the form of containerd's shims.
func printVersion(w io.Writer, program string) error {
	version, revision := buildVersion()
	_, err := fmt.Fprintf(w, "%s:\n  Version:  %s\n  Revision: %s\n  Go version: %s\n\n", filepath.Base(program), version, revision, runtime.Version())
	if err != nil {
		return fmt.Errorf("print version: %w", err)
	}
	return nil
}

// version is what `make build` links in: the output of git describe.
var version string

// buildVersion returns the linked version, or what the Go toolchain recorded of the source: a module version and a commit.
func buildVersion() (v, revision string) {
	v, revision = "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	if version != "" {
		v = version
	}
	return v, revision
}
