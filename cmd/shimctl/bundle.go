package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/wisp-shim/wisp/internal/launch"
)

// makeBundle makes the bundle at its place.
func (f *runFlags) makeBundle() error {
	return f.place.occupy(func(dir string) error {
		if f.bundle != "" {
			return f.adoptBundle(dir)
		}
		return launch.MakeBundle(dir, f.container)
	})
}

// adoptBundle makes the bundle dir from the user's own: its config.json, with every path that is meant from the user's directory made absolute,
// so that nothing is ever written there. The terminal is what the spec says, or -t.
func (f *runFlags) adoptBundle(dir string) error {
	source, err := filepath.Abs(f.bundle)
	if err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(source, "config.json"))
	if err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("read bundle: config.json: %w", err)
	}
	root, process := object(spec, "root"), object(spec, "process")
	if path, _ := root["path"].(string); path == "" || process == nil {
		return fmt.Errorf("read bundle: config.json: no root.path or no process")
	}
	makeAbsolute(root, "path", source)
	mounts, _ := spec["mounts"].([]any)
	for _, m := range mounts {
		if mount, ok := m.(map[string]any); ok && isBind(mount) {
			makeAbsolute(mount, "source", source)
		}
	}
	if terminal, _ := process["terminal"].(bool); terminal {
		f.terminal = true
	}
	if f.terminal {
		process["terminal"] = true
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make bundle: %w", err)
	}
	if err := launch.WriteSpec(dir, spec); err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	return nil
}

// object is the JSON object under a key, or nil.
func object(in map[string]any, key string) map[string]any {
	value, _ := in[key].(map[string]any)
	return value
}

func isBind(mount map[string]any) bool {
	options, _ := mount["options"].([]any)
	return mount["type"] == "bind" || slices.Contains(options, any("bind")) || slices.Contains(options, any("rbind"))
}

func makeAbsolute(in map[string]any, key, base string) {
	if path, _ := in[key].(string); path != "" && !filepath.IsAbs(path) {
		in[key] = filepath.Join(base, path)
	}
}
