package runctest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Config is what a bundle made by Bundle holds.
type Config struct {
	Args      []string // the command, run on the host's file system
	Env       []string // KEY=VALUE; PATH is set already
	Cwd       string   // empty: /
	Terminal  bool
	SharedPID bool   // no pid namespace of its own
	Cgroup    string // linux.cgroupsPath, absolute; empty: one named after the container
}

// Process is an OCI process as far as the fake knows it.
type Process struct {
	Terminal    bool     `json:"terminal,omitempty"`
	ConsoleSize *size    `json:"consoleSize,omitempty"`
	Args        []string `json:"args"`
	Env         []string `json:"env,omitempty"`
	Cwd         string   `json:"cwd"`
}

type size struct {
	Height uint16 `json:"height"`
	Width  uint16 `json:"width"`
}

// spec is an OCI config.json as far as the fake knows it.
type spec struct {
	Version string   `json:"ociVersion"`
	Process *Process `json:"process"`
	Root    struct {
		Path string `json:"path"`
	} `json:"root"`
	Linux struct {
		CgroupsPath string      `json:"cgroupsPath,omitempty"`
		Namespaces  []namespace `json:"namespaces"`
	} `json:"linux"`
}

type namespace struct {
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
}

// Bundle makes a bundle and returns its directory.
func Bundle(t testing.TB, c Config) string {
	t.Helper()
	dir := t.TempDir()
	if c.Cwd == "" {
		c.Cwd = "/"
	}
	s := spec{Version: "1.2.0", Process: &Process{
		Terminal: c.Terminal, Args: c.Args, Cwd: c.Cwd, Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.Env...),
	}}
	s.Root.Path = "rootfs"
	s.Linux.CgroupsPath = c.Cgroup
	s.Linux.Namespaces = []namespace{{Type: "mount"}}
	if !c.SharedPID {
		s.Linux.Namespaces = append(s.Linux.Namespaces, namespace{Type: "pid"})
	}
	WriteJSON(t, filepath.Join(dir, "config.json"), s)
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// WriteJSON writes a value to a file: the process of an exec, or a config.json that
// Bundle does not make.
func WriteJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sharedPID tells whether init gets no pid namespace of its own.
func (s *spec) sharedPID() bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == "pid" && n.Path == "" {
			return false
		}
	}
	return true
}
