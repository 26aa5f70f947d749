package shim

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// isOptions tells whether a holds options that decodeOptions understands.
func isOptions(a *anypb.Any) bool {
	return protos.Is(a, protos.TypeRuncOptions) || protos.Is(a, protos.TypeRuntimeOptions)
}

// decodeOptions decodes runtime options: runc's own message, or the generic one that containerd's CRI plugin sends to a runtime
// it does not know, whose body is TOML (spec 4). No options, or an Any of no type, are the zero Options. Anything else is
// refused with bundle.ErrInvalid and its type.
func decodeOptions(a *anypb.Any) (bundle.Options, error) {
	switch {
	case a == nil || (a.TypeUrl == "" && len(a.Value) == 0):
		return bundle.Options{}, nil
	case protos.Is(a, protos.TypeRuncOptions):
		var m protos.RuncOptions
		if err := proto.Unmarshal(a.Value, &m); err != nil {
			return bundle.Options{}, fmt.Errorf("decode options: %w: %w", err, bundle.ErrInvalid)
		}
		return fromRuncOptions(&m), nil
	case protos.Is(a, protos.TypeRuntimeOptions):
		var m protos.RuntimeOptions
		if err := proto.Unmarshal(a.Value, &m); err != nil {
			return bundle.Options{}, fmt.Errorf("decode options: %w: %w", err, bundle.ErrInvalid)
		}
		return fromRuntimeOptions(&m)
	default:
		return bundle.Options{}, fmt.Errorf("decode options: unknown message type %q: %w", a.TypeUrl, bundle.ErrInvalid)
	}
}

func fromRuncOptions(m *protos.RuncOptions) bundle.Options {
	return bundle.Options{
		NoPivotRoot:    m.NoPivotRoot,
		NoNewKeyring:   m.NoNewKeyring,
		ShimCgroup:     m.ShimCgroup,
		IoUid:          m.IoUid,
		IoGid:          m.IoGid,
		BinaryName:     m.BinaryName,
		Root:           m.Root,
		SystemdCgroup:  m.SystemdCgroup,
		CriuImagePath:  m.CriuImagePath,
		CriuWorkPath:   m.CriuWorkPath,
		TaskApiAddress: m.TaskApiAddress,
		TaskApiVersion: m.TaskApiVersion,
	}
}

// fromRuntimeOptions decodes the options table of the CRI configuration.
func fromRuntimeOptions(m *protos.RuntimeOptions) (bundle.Options, error) {
	if len(m.ConfigBody) == 0 && m.ConfigPath != "" {
		const hint = "put the options into the runtime's options table instead"
		return bundle.Options{}, fmt.Errorf("decode options: ConfigPath %q is not supported, %s: %w", m.ConfigPath, hint, bundle.ErrInvalid)
	}
	var o bundle.Options
	err := parseTOML(string(m.ConfigBody), func(key string, v tomlValue) error {
		switch key {
		case "NoPivotRoot":
			return v.bool(&o.NoPivotRoot)
		case "NoNewKeyring":
			return v.bool(&o.NoNewKeyring)
		case "ShimCgroup":
			return v.string(&o.ShimCgroup)
		case "IoUid":
			return v.uint32(&o.IoUid)
		case "IoGid":
			return v.uint32(&o.IoGid)
		case "BinaryName":
			return v.string(&o.BinaryName)
		case "Root":
			return v.string(&o.Root)
		case "SystemdCgroup":
			return v.bool(&o.SystemdCgroup)
		case "CriuImagePath":
			return v.string(&o.CriuImagePath)
		case "CriuWorkPath":
			return v.string(&o.CriuWorkPath)
		default: // options of other runtimes and of later versions
			return nil
		}
	})
	if err != nil {
		return bundle.Options{}, fmt.Errorf("decode options: %w: %w", err, bundle.ErrInvalid)
	}
	return o, nil
}
