package shim

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func bootstrapParams(t testing.TB, id, namespace string) *protos.BootstrapParams {
	return &protos.BootstrapParams{
		InstanceId: id, Namespace: namespace, LogLevel: -4, ContainerdTtrpcAddress: "unix:///run/t.sock",
		Extensions: []*protos.BootstrapExtension{
			{}, {Value: pack(t, "some.Other", &protos.CheckpointOptions{Exit: true})},
			{Value: pack(t, protos.TypeRuncOptions, &protos.RuncOptions{Root: "/r"})},
		},
		SocketDir: proto.String("/sock"),
	}
}

func TestBootstrapParamsOfThisVeryTaskAreTheNewProtocol(t *testing.T) {
	in, err := parseStartInput(marshal(t, bootstrapParams(t, "c1", "ns")), "c1", "ns")
	if err != nil {
		t.Fatal(err)
	}
	if !in.modern || in.ttrpcAddress != "/run/t.sock" || in.socketDir != "/sock" || !in.debug {
		t.Errorf("input is %+v", in)
	}
	if o, err := decodeOptions(in.options); err != nil || o.Root != "/r" {
		t.Errorf("options are %+v, %v", o, err)
	}
}

func TestAnythingElseIsTheOldProtocol(t *testing.T) {
	options := pack(t, protos.TypeRuncOptions, &protos.RuncOptions{Root: "/r"})
	in, err := parseStartInput(marshal(t, options), "c1", "ns")
	if err != nil || in.modern {
		t.Fatalf("input is %+v, %v", in, err)
	}
	if o, err := decodeOptions(in.options); err != nil || o.Root != "/r" {
		t.Errorf("options are %+v, %v", o, err)
	}
	if in, err := parseStartInput(nil, "c1", "ns"); err != nil || in.modern || in.options != nil {
		t.Errorf("no input is %+v, %v", in, err)
	}
	for _, other := range []*protos.BootstrapParams{
		{InstanceId: "c2", Namespace: "ns"}, {InstanceId: "c1", Namespace: "other"}, {InstanceId: "c1"},
	} {
		if in, err := parseStartInput(marshal(t, other), "c1", "ns"); err == nil && in.modern {
			t.Errorf("parameters of %v count as ours", other)
		}
	}
	if _, err := parseStartInput([]byte{0xff, 0xff}, "c1", "ns"); !errors.Is(err, bundle.ErrInvalid) {
		t.Errorf("garbage: %v", err)
	}
}

func TestInputIsBounded(t *testing.T) {
	if _, err := readInput(strings.NewReader(strings.Repeat("x", inputMax+1))); err == nil {
		t.Error("too much input is accepted")
	}
	if data, err := readInput(strings.NewReader(strings.Repeat("x", inputMax))); err != nil || len(data) != inputMax {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	if data, err := readInput(nil); err != nil || len(data) != 0 {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

// Whatever stands on standard input, start does not crash, and takes for BootstrapParams only what names this task.
func FuzzStartInput(f *testing.F) {
	f.Add([]byte{}, "c1", "ns")
	f.Add(marshal(f, bootstrapParams(f, "c1", "ns")), "c1", "ns")
	f.Add(marshal(f, pack(f, protos.TypeRuncOptions, &protos.RuncOptions{Root: "/r"})), "c1", "ns")
	f.Fuzz(func(t *testing.T, data []byte, id, namespace string) {
		in, err := parseStartInput(data, id, namespace)
		if err != nil {
			return
		}
		var params protos.BootstrapParams
		if in.modern && (proto.Unmarshal(data, &params) != nil || params.InstanceId != id || params.Namespace != namespace) {
			t.Error("parameters of another task count as ours")
		}
		_, _ = decodeOptions(in.options)
	})
}
