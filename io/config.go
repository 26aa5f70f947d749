package stdio

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Config says where the streams of one process go.
type Config struct {
	ID, Namespace string // told to a logging binary

	// Paths or URIs as the manager gave them. Empty: /dev/null. An absolute path: a FIFO, or a file that exists. Outputs may also be
	// file://PATH?max-size=BYTES&max-files=N, binary://PATH?key=value and binary-v2://PATH?key=value.
	Stdin, Stdout, Stderr string
	Terminal              bool // Stderr must be empty

	UID, GID int    // owner of the pipe ends that the container gets
	Dir      string // an existing directory for the console's socket

	// Spawn starts a logging binary. The files of SpawnConfig are borrowed until it returns.
	Spawn func(SpawnConfig) (Child, error)
}

// SpawnConfig is what runs a logging binary.
type SpawnConfig struct {
	Path  string
	Args  []string   // with argv[0]
	Env   []string   // all of the environment
	Files []*os.File // descriptors 0 to n; nil is /dev/null
}

// Child is a logging binary that runs.
type Child interface {
	Pid() int
	Done() <-chan struct{} // closed when it has ended
	Signal(syscall.Signal) error
}

// scheme is the kind of a stream's other end.
type scheme uint8

const (
	schemeNull     scheme = iota
	schemePath            // a FIFO or a file that exists
	schemeFile            // file://
	schemeBinary          // binary://: ready at a byte or the end of file
	schemeBinaryV2        // binary-v2://: ready at a byte
)

// target is a stream's parsed path or URI.
type target struct {
	scheme scheme
	path   string
	query  []pair // in the URI's order
}

type pair struct{ key, value string }

// logger reports whether a logging binary takes the stream.
func (t target) logger() bool { return t.scheme == schemeBinary || t.scheme == schemeBinaryV2 }

// parseTarget reads a stream's path or URI. A path may hold any character, so only what has a scheme is taken for a URI.
func parseTarget(s string) (target, error) {
	if s == "" {
		return target{}, nil
	}
	name, rest, ok := strings.Cut(s, "://")
	if strings.HasPrefix(s, "/") || !ok {
		if !filepath.IsAbs(s) {
			return target{}, fmt.Errorf("stdio path %q is not absolute: %w", s, ErrInvalid)
		}
		return target{scheme: schemePath, path: s}, nil
	}
	t := target{}
	switch name {
	case "fifo":
		t.scheme = schemePath
	case "file":
		t.scheme = schemeFile
	case "binary":
		t.scheme = schemeBinary
	case "binary-v2":
		t.scheme = schemeBinaryV2
	default:
		return target{}, fmt.Errorf("unknown STDIO scheme %q: %w", name, ErrInvalid)
	}
	path, query, _ := strings.Cut(rest, "?")
	var err error
	if t.path, err = url.PathUnescape(path); err != nil {
		return target{}, fmt.Errorf("read path of %s URI: %w: %w", name, err, ErrInvalid)
	}
	if !filepath.IsAbs(t.path) {
		return target{}, fmt.Errorf("path %q of %s URI is not absolute: %w", t.path, name, ErrInvalid)
	}
	if t.query, err = parseQuery(query); err != nil {
		return target{}, fmt.Errorf("read query of %s URI: %w: %w", name, err, ErrInvalid)
	}
	return t, nil
}

// parseQuery keeps the order, and of each key its first value, as managers know it.
func parseQuery(query string) ([]pair, error) {
	var pairs []pair
	seen := map[string]bool{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return nil, err
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			return nil, err
		}
		if !seen[key] {
			seen[key] = true
			pairs = append(pairs, pair{key, value})
		}
	}
	return pairs, nil
}

// targets are the three streams' other ends.
type targets struct{ in, out, err target }

// parse checks all that can be checked without touching the file system.
func (c Config) parse() (targets, error) {
	var t targets
	var err error
	if c.Terminal && c.Stderr != "" {
		return t, fmt.Errorf("a terminal has no stderr of its own: stderr must be empty, not %q: %w", c.Stderr, ErrInvalid)
	}
	if t.in, err = parseTarget(c.Stdin); err != nil {
		return t, fmt.Errorf("stdin: %w", err)
	}
	if t.out, err = parseTarget(c.Stdout); err != nil {
		return t, fmt.Errorf("stdout: %w", err)
	}
	if t.err, err = parseTarget(c.Stderr); err != nil {
		return t, fmt.Errorf("stderr: %w", err)
	}
	if t.in.scheme != schemePath { // a manager may repeat a log's URI for stdin: there is nothing to read there
		t.in = target{}
	}
	if t.out.logger() && t.err.logger() && c.Stdout != c.Stderr {
		return t, fmt.Errorf("stdout and stderr name different logging binaries: %w", ErrInvalid)
	}
	if (t.out.logger() || t.err.logger()) && c.Spawn == nil {
		return t, fmt.Errorf("nothing is there to start a logging binary with: %w", ErrInvalid)
	}
	return t, nil
}
