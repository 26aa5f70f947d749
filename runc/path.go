package runc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// env is the environment of the runtime. NOTIFY_SOCKET would have runc talk to
// systemd on the shim's behalf.
func (r *Runtime) env() []string {
	notify := func(kv string) bool { return strings.HasPrefix(kv, "NOTIFY_SOCKET=") }
	if r.Env == nil {
		return slices.DeleteFunc(os.Environ(), notify) // a copy already
	}
	if slices.ContainsFunc(r.Env, notify) {
		return slices.DeleteFunc(slices.Clone(r.Env), notify)
	}
	return r.Env
}

// lookPath finds a program as a shell would, in the PATH that it is to run with,
// but never in the working directory unless the name has a slash. The errors'
// texts are those of os/exec: managers look for "executable file not found".
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executable(name); err != nil {
			return "", fmt.Errorf("exec: %q: %w", name, err)
		}
		return name, nil
	}
	for dir := range strings.SplitSeq(pathVariable(env), ":") {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path := filepath.Join(dir, name); executable(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("exec: %q: executable file not found in $PATH", name)
}

func pathVariable(env []string) string {
	for _, kv := range slices.Backward(env) { // the last one counts, as for the kernel's ForkExec in Go
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			return value
		}
	}
	return ""
}

// executable tells why a path cannot be run, nil if it can.
func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}
