package launch

// Spec is the part of an OCI config.json (runtime specification 1.x) that a bundle made here needs.
type Spec struct {
	Version     string            `json:"ociVersion"`
	Process     SpecProcess       `json:"process"`
	Root        SpecRoot          `json:"root"`
	Hostname    string            `json:"hostname,omitempty"`
	Mounts      []SpecMount       `json:"mounts"`
	Linux       SpecLinux         `json:"linux"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// SpecProcess is a process: of a Spec, or alone, as the spec of an exec.
type SpecProcess struct {
	Terminal        bool              `json:"terminal,omitempty"`
	ConsoleSize     *SpecSize         `json:"consoleSize,omitempty"`
	User            SpecUser          `json:"user"`
	Args            []string          `json:"args"`
	Env             []string          `json:"env,omitempty"`
	Cwd             string            `json:"cwd"`
	Capabilities    *SpecCapabilities `json:"capabilities,omitempty"`
	NoNewPrivileges bool              `json:"noNewPrivileges,omitempty"`
}

// SpecSize is a terminal's size in characters.
type SpecSize struct {
	Height uint `json:"height"`
	Width  uint `json:"width"`
}

// SpecUser is who a process runs as, by number.
type SpecUser struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// SpecCapabilities are the capability sets of a process, by name.
type SpecCapabilities struct {
	Bounding  []string `json:"bounding,omitempty"`
	Effective []string `json:"effective,omitempty"`
	Permitted []string `json:"permitted,omitempty"`
}

// SpecRoot is the root file system: a path, absolute or from the bundle.
type SpecRoot struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly,omitempty"`
}

// SpecMount is one mount of the runtime, after the root's.
type SpecMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type,omitempty"`
	Source      string   `json:"source,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// SpecLinux is what only Linux has.
type SpecLinux struct {
	CgroupsPath   string          `json:"cgroupsPath,omitempty"`
	Namespaces    []SpecNamespace `json:"namespaces,omitempty"`
	Resources     *SpecResources  `json:"resources,omitempty"`
	MaskedPaths   []string        `json:"maskedPaths,omitempty"`
	ReadonlyPaths []string        `json:"readonlyPaths,omitempty"`
}

// SpecNamespace is a namespace to be made, or joined where it has a path.
type SpecNamespace struct {
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
}

// SpecResources are the limits of the container's cgroup.
type SpecResources struct {
	Devices []SpecDeviceRule `json:"devices,omitempty"`
	Memory  *SpecMemory      `json:"memory,omitempty"`
}

// SpecMemory bounds memory, in bytes.
type SpecMemory struct {
	Limit *int64 `json:"limit,omitempty"`
}

// SpecDeviceRule allows devices, or forbids them. The runtime adds those that every container needs.
type SpecDeviceRule struct {
	Allow  bool   `json:"allow"`
	Access string `json:"access,omitempty"`
}
