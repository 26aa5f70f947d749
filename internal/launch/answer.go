package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/proto"
)

// Answer is what a shim's start says: where it serves, and what it speaks there. Its JSON is containerd's bootstrap.json.
type Answer struct {
	Version  int    `json:"version"`  // of the task service: 2 or 3
	Address  string `json:"address"`  // unix://PATH, or the name of an abstract socket
	Protocol string `json:"protocol"` // ttrpc
}

// Path is the path of the shim's socket, or empty for an abstract one.
func (a Answer) Path() string {
	if path := bundle.TrimAddress(a.Address); filepath.IsAbs(path) {
		return path
	}
	return ""
}

// parseAnswer reads what start printed, in the order in which containerd tries: protobuf (not in the legacy protocol), JSON, a plain address.
func parseAnswer(output []byte, legacy bool) (Answer, error) {
	var result protos.BootstrapResult
	if !legacy && proto.Unmarshal(output, &result) == nil && result.GetAddress() != "" && result.GetVersion() > 0 {
		return Answer{Version: int(result.GetVersion()), Address: result.GetAddress(), Protocol: result.GetProtocol()}.check()
	}
	text := strings.TrimSpace(string(output))
	if text == "" {
		return Answer{}, errors.New("start printed nothing")
	}
	var answer Answer
	if json.Unmarshal([]byte(text), &answer) == nil {
		return answer.check()
	}
	return Answer{Version: 2, Address: text, Protocol: "ttrpc"}.check()
}

// check refuses an answer that no manager could use.
func (a Answer) check() (Answer, error) {
	switch {
	case a.Version < 2 || a.Version > 3:
		return a, fmt.Errorf("unsupported shim version (%d)", a.Version)
	case a.Protocol != "ttrpc":
		return a, fmt.Errorf("unsupported protocol %q", a.Protocol)
	case a.Address == "":
		return a, errors.New("no address")
	case strings.ContainsAny(a.Address, "\n\t "):
		return a, fmt.Errorf("not an address: %q", a.Address)
	}
	return a, nil
}

// write records the answer in the bundle, where a manager finds it after its own restart.
func (a Answer) write(dir string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode %s: %w", bundle.BootstrapFile, err)
	}
	if err := bundle.WriteFile(filepath.Join(dir, bundle.BootstrapFile), data, 0o644); err != nil {
		return fmt.Errorf("record shim: %w", err)
	}
	return nil
}

// ReadAnswer finds the shim of a bundle: from bootstrap.json, which managers from containerd 2 on and Start write, else from the file address,
// which a shim of the legacy protocol writes. Without both the error wraps fs.ErrNotExist.
func ReadAnswer(dir string) (Answer, error) {
	data, err := os.ReadFile(filepath.Join(dir, bundle.BootstrapFile))
	if errors.Is(err, os.ErrNotExist) {
		data, err = os.ReadFile(filepath.Join(dir, bundle.AddressFile))
	}
	if err != nil {
		return Answer{}, fmt.Errorf("find shim: %w", err)
	}
	answer, err := parseAnswer(data, true)
	if err != nil {
		return answer, fmt.Errorf("find shim of %s: %w", dir, err)
	}
	return answer, nil
}
