package bundle

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxSpec bounds config.json, in bytes; large ones have some 100 KB.
const maxSpec = 16 << 20

// pidNamespace is the type of a pid namespace in linux.namespaces.
const pidNamespace = "pid"

// Spec is what a shim must know of config.json (OCI runtime spec, config.md).
type Spec struct {
	Annotations map[string]string
	Root        string // root.path: absolute, or relative to the bundle
	Terminal    bool   // process.terminal
	ConsoleSize *Size  // process.consoleSize; nil if it names none
	OOMScoreAdj *int   // process.oomScoreAdj; nil if it names none
	CgroupsPath string // linux.cgroupsPath
	Namespaces  []Namespace

	// SharedPID is true when init has no pid namespace of its own (none is
	// named, or one to join): then the kernel does not kill the container's other
	// processes when init dies.
	SharedPID bool

	read stamp
}

// stamp tells whether a file is what it was.
type stamp struct {
	device, inode  uint64
	size           int64
	changed, wrote unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{device: st.Dev, inode: st.Ino, size: st.Size, changed: st.Ctim, wrote: st.Mtim}
}

// Size is the size of a terminal in character cells.
type Size struct {
	Height uint `json:"height"`
	Width  uint `json:"width"`
}

// Namespace is one that the container gets. With a Path it joins that one, and
// without it gets a new one.
type Namespace struct {
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
}

// config is the part of config.json that is decoded.
type config struct {
	Annotations map[string]string `json:"annotations"`
	Root        struct {
		Path string `json:"path"`
	} `json:"root"`
	Process struct {
		Terminal    bool  `json:"terminal"`
		ConsoleSize *Size `json:"consoleSize"`
		OOMScoreAdj *int  `json:"oomScoreAdj"`
	} `json:"process"`
	Linux struct {
		CgroupsPath string      `json:"cgroupsPath"`
		Namespaces  []Namespace `json:"namespaces"`
	} `json:"linux"`
}

// ReadSpec reads the bundle's config.json. One that is not there is an error that
// wraps fs.ErrNotExist; of one that is no JSON, or has a member of the wrong
// type, the error names the place and wraps ErrInvalid. What is not in Spec is not
// checked.
func (d Dir) ReadSpec() (*Spec, error) {
	data, st, err := readFile(d.File(ConfigFile), maxSpec)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("parse spec %s: %w%s: %w", d.File(ConfigFile), err, place(err), ErrInvalid)
	}
	return &Spec{
		Annotations: c.Annotations,
		Root:        c.Root.Path,
		Terminal:    c.Process.Terminal,
		ConsoleSize: c.Process.ConsoleSize,
		OOMScoreAdj: c.Process.OOMScoreAdj,
		CgroupsPath: c.Linux.CgroupsPath,
		Namespaces:  c.Linux.Namespaces,
		SharedPID:   sharedPID(c.Linux.Namespaces),
		read:        stampOf(&st),
	}, nil
}

// RereadSpec returns known, which may be nil, if the file has not been touched since, and else is ReadSpec.
func (d Dir) RereadSpec(known *Spec) (*Spec, error) {
	var st unix.Stat_t
	if known != nil && unix.Stat(d.File(ConfigFile), &st) == nil && stampOf(&st) == known.read {
		return known, nil
	}
	return d.ReadSpec()
}

func sharedPID(namespaces []Namespace) bool {
	for _, n := range namespaces {
		if n.Type == pidNamespace && n.Path == "" {
			return false
		}
	}
	return true
}

// place tells where in the file a JSON error is, if the error knows.
func place(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(" at byte %d", syntax.Offset)
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Sprintf(" at byte %d", wrongType.Offset)
	}
	return ""
}
