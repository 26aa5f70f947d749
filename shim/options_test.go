package shim

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

func pack(t testing.TB, typeName string, m proto.Message) *anypb.Any {
	t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &anypb.Any{TypeUrl: typeName, Value: value}
}

var allOptions = bundle.Options{
	NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/shims", IoUid: 1000, IoGid: 1001,
	BinaryName: "/usr/bin/crun", Root: "/run/state", SystemdCgroup: true, CriuImagePath: "/i", CriuWorkPath: "/w",
}

func TestRuncOptionsAreDecodedWhole(t *testing.T) {
	m := &protos.RuncOptions{
		NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/shims", IoUid: 1000, IoGid: 1001, BinaryName: "/usr/bin/crun",
		Root: "/run/state", SystemdCgroup: true, CriuImagePath: "/i", CriuWorkPath: "/w",
	}
	for _, name := range []string{protos.TypeRuncOptions, "type.googleapis.com/" + protos.TypeRuncOptions} {
		got, err := decodeOptions(pack(t, name, m))
		if err != nil || got != allOptions {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestTheOptionsTableOfCRIIsDecodedWhole(t *testing.T) {
	const body = `# what a user wrote in config.toml
NoPivotRoot = true
"NoNewKeyring" = true # quoted key
ShimCgroup = '/shims'
IoUid = 1_000
IoGid = 0x3e9

  BinaryName = "/usr/bin/\u0063run"
Root = "/run/state" # a comment with "quotes" and = signs
SystemdCgroup=true
CriuImagePath = "/i"
CriuWorkPath = "/w"
CriuPath = "/gone/in/2.0"
Unknown = [ "a", # with ] in a comment
  "b]", 3 ]
Inline = { a = 1, b = "}" }
Text = """
Root = "not a key"
"""
a.Root = "dotted"
"b" . Root = "dotted"

[nested]
Root = "elsewhere"
`
	got, err := decodeOptions(pack(t, protos.TypeRuntimeOptions, &protos.RuntimeOptions{TypeUrl: "x", ConfigBody: []byte(body)}))
	if err != nil || got != allOptions {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNoOptionsAreDefaults(t *testing.T) {
	for _, a := range []*anypb.Any{nil, {}, {TypeUrl: protos.TypeRuncOptions}, {TypeUrl: protos.TypeRuntimeOptions}} {
		if got, err := decodeOptions(a); err != nil || got != (bundle.Options{}) {
			t.Errorf("%v: got %+v, %v", a, got, err)
		}
	}
}

func TestBadOptionsAreRefusedWithTheReason(t *testing.T) {
	table := func(body string) *anypb.Any {
		return pack(t, protos.TypeRuntimeOptions, &protos.RuntimeOptions{ConfigBody: []byte(body)})
	}
	for _, c := range []struct {
		a    *anypb.Any
		want string
	}{
		{pack(t, protos.TypeCheckpointOptions, &protos.CheckpointOptions{Exit: true}), `unknown message type "containerd.runc.v1.CheckpointOptions"`},
		{&anypb.Any{TypeUrl: "kata.Options", Value: []byte{1}}, `unknown message type "kata.Options"`},
		{&anypb.Any{TypeUrl: protos.TypeRuncOptions, Value: []byte{0xff}}, "decode options: malformed protobuf"},
		{&anypb.Any{TypeUrl: protos.TypeRuntimeOptions, Value: []byte{0xff}}, "decode options: malformed protobuf"},
		{pack(t, protos.TypeRuntimeOptions, &protos.RuntimeOptions{ConfigPath: "/etc/x.toml"}), `ConfigPath "/etc/x.toml" is not supported`},
		{table("SystemdCgroup = \"yes\""), `line 1: SystemdCgroup: want true or false, have "yes"`},
		{table("\nIoUid = -1"), "line 2: IoUid: want an integer from 0"},
		{table("IoGid = 4294967296"), "line 1: IoGid: want an integer"},
		{table("Root = runc"), "line 1: Root: want a string"},
		{table("Root = 'a' 'b'"), "line 1: Root: want one string"},
		{table("Root = \"\"\"\n/x\"\"\""), "line 1: Root: want a string on one line"},
		{table("Root"), "line 1: want key = value"},
		{table("= 3"), "line 1: want key = value"},
		{table("\"Root = 3"), "line 1: key without closing quote"},
	} {
		_, err := decodeOptions(c.a)
		if !errors.Is(err, bundle.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

// Whatever a manager sends, decoding ends, and what is refused is refused as invalid.
func FuzzOptions(f *testing.F) {
	f.Add(protos.TypeRuncOptions, []byte{8, 1})
	f.Add(protos.TypeRuntimeOptions, []byte("\x1a\x0fIoUid = 1 # [\"x"))
	f.Add(protos.TypeRuntimeOptions, []byte("\x1a\x09a = [\n'b'"))
	f.Add("other", []byte{})
	f.Fuzz(func(t *testing.T, typeName string, value []byte) {
		if _, err := decodeOptions(&anypb.Any{TypeUrl: typeName, Value: value}); err != nil && !errors.Is(err, bundle.ErrInvalid) {
			t.Errorf("error is %v", err)
		}
		if _, err := decodeOptions(pack(t, protos.TypeRuntimeOptions, &protos.RuntimeOptions{ConfigBody: value})); err != nil && !errors.Is(err, bundle.ErrInvalid) {
			t.Errorf("error is %v", err)
		}
	})
}
