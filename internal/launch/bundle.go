package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wisp-shim/wisp/bundle"
)

// Container says what a bundle made by MakeBundle runs.
type Container struct {
	Namespace, ID string   // name the cgroup: /wisp/NAMESPACE/ID
	Rootfs        string   // absolute path of the root file system's directory, used in place
	Readonly      bool     // the root file system is mounted read-only
	Args          []string // the command
	Env           []string // KEY=VALUE; they win over the default PATH and TERM
	Cwd           string   // empty: /
	User          SpecUser
	Hostname      string // empty: the ID
	Terminal      bool
	Size          *SpecSize // first size of the terminal
	HostNetwork   bool      // else a network of its own with nothing but lo
	HostPID       bool      // else a pid namespace of its own
	Memory        int64     // limit in bytes; 0: none
	Annotations   map[string]string
}

// MakeBundle makes the directory dir (0700, its parent must exist; it must not) and a config.json (0600) in it.
func MakeBundle(dir string, c Container) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make bundle: %w", err)
	}
	if err := WriteSpec(dir, c.Spec()); err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	return nil
}

// WriteSpec writes a config.json (0600) into a bundle: a *Spec, or any value that encodes to one.
func WriteSpec(dir string, spec any) error {
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", bundle.ConfigFile, err)
	}
	if err := os.WriteFile(filepath.Join(dir, bundle.ConfigFile), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", bundle.ConfigFile, err)
	}
	return nil
}

// Spec gives the OCI spec of a container: namespaces, capabilities, mounts and hidden paths as ctr and docker choose them, without seccomp.
func (c Container) Spec() *Spec {
	hostname := c.Hostname
	if hostname == "" {
		hostname = c.ID
	}
	return &Spec{
		Version:     "1.1.0",
		Process:     c.process(),
		Root:        SpecRoot{Path: c.Rootfs, Readonly: c.Readonly},
		Hostname:    hostname,
		Mounts:      defaultMounts(),
		Annotations: c.Annotations,
		Linux: SpecLinux{
			CgroupsPath:   "/wisp/" + c.Namespace + "/" + c.ID,
			Namespaces:    c.namespaces(),
			Resources:     c.resources(),
			MaskedPaths:   maskedPaths(),
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func (c Container) process() SpecProcess {
	cwd := c.Cwd
	if cwd == "" {
		cwd = "/"
	}
	var env []string
	if !hasKey(c.Env, "PATH") {
		env = append(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	if c.Terminal && !hasKey(c.Env, "TERM") {
		env = append(env, "TERM=xterm")
	}
	capabilities := defaultCapabilities()
	process := SpecProcess{
		Terminal:        c.Terminal,
		ConsoleSize:     c.Size,
		User:            c.User,
		Args:            c.Args,
		Env:             append(env, c.Env...),
		Cwd:             cwd,
		NoNewPrivileges: true,
		Capabilities:    &SpecCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities},
	}
	if c.User.UID != 0 {
		process.Capabilities = &SpecCapabilities{Bounding: capabilities} // execve as another user would drop the others anyway
	}
	return process
}

// hasKey tells whether an environment sets a variable.
func hasKey(env []string, key string) bool {
	return slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, key+"=") })
}

func (c Container) namespaces() []SpecNamespace {
	namespaces := []SpecNamespace{{Type: "ipc"}, {Type: "uts"}, {Type: "mount"}}
	if !c.HostPID {
		namespaces = append(namespaces, SpecNamespace{Type: "pid"})
	}
	if !c.HostNetwork {
		namespaces = append(namespaces, SpecNamespace{Type: "network"})
	}
	return namespaces
}

func (c Container) resources() *SpecResources {
	resources := &SpecResources{Devices: []SpecDeviceRule{{Allow: false, Access: "rwm"}}}
	if c.Memory > 0 {
		resources.Memory = &SpecMemory{Limit: &c.Memory}
	}
	return resources
}
