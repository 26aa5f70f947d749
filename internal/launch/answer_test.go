package launch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

// Every form of answer that some containerd accepts is read, and what none could use is refused.
func TestParseAnswer(t *testing.T) {
	bootstrap, err := marshal(&protos.BootstrapResult{Version: 3, Address: "unix:///run/s", Protocol: "ttrpc"})
	if err != nil {
		t.Fatal(err)
	}
	grpc, err := marshal(&protos.BootstrapResult{Version: 3, Address: "unix:///run/s", Protocol: "grpc"})
	if err != nil {
		t.Fatal(err)
	}
	version2 := Answer{Version: 2, Address: "unix:///run/s", Protocol: "ttrpc"}
	version3 := Answer{Version: 3, Address: "unix:///run/s", Protocol: "ttrpc"}
	for _, c := range []struct {
		name, output string
		legacy       bool
		want         Answer
		bad          bool
	}{
		{"bootstrap result", string(bootstrap), false, version3, false},
		{"json where protobuf is expected", `{"version":3,"address":"unix:///run/s","protocol":"ttrpc"}`, false, version3, false},
		{"address where protobuf is expected", "unix:///run/s\n", false, version2, false},
		{"legacy json", `{"version":2,"address":"unix:///run/s","protocol":"ttrpc"}`, true, version2, false},
		{"legacy address", "unix:///run/s\n", true, version2, false},
		{"abstract address", "containerd-shim/x", true, Answer{Version: 2, Address: "containerd-shim/x", Protocol: "ttrpc"}, false},
		{"nothing", "", false, Answer{}, true},
		{"a warning before the address", "warning: x\nunix:///run/s", true, Answer{}, true},
		{"version 4", `{"version":4,"address":"unix:///run/s","protocol":"ttrpc"}`, true, Answer{}, true},
		{"no address", `{"version":3,"protocol":"ttrpc"}`, true, Answer{}, true},
		{"grpc", string(grpc), false, Answer{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseAnswer([]byte(c.output), c.legacy)
			if c.bad {
				if err == nil {
					t.Fatalf("accepted as %+v", got)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// A bundle's shim is found by bootstrap.json first, then by address; without both the error says so.
func TestReadAnswer(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadAnswer(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty bundle: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, bundle.AddressFile), []byte("unix:///run/old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAnswer(dir); err != nil || a.Path() != "/run/old" || a.Version != 2 {
		t.Errorf("by address: %+v, %v", a, err)
	}
	if err := (Answer{Version: 3, Address: "unix:///run/new", Protocol: "ttrpc"}).write(dir); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAnswer(dir); err != nil || a.Path() != "/run/new" || a.Version != 3 {
		t.Errorf("by bootstrap.json: %+v, %v", a, err)
	}
}
