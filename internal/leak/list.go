package leak

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// goroutines lists all but those of the Go runtime, of package testing and of os/signal, whose one
// goroutine is started by the first Notify and never ends.
func goroutines() ([]thing, error) {
	var list []thing
	for stack := range strings.SplitSeq(stacks(), "\n\n") {
		head, _, ok := strings.Cut(stack, "\n")
		id, isHead := strings.CutPrefix(head, "goroutine ")
		if !ok || !isHead || ignored(stack) {
			continue
		}
		id, _, _ = strings.Cut(id, " ")
		list = append(list, thing{kind: "goroutine", key: id, text: stack})
	}
	return list, nil
}

func ignored(stack string) bool {
	_, creator, created := strings.Cut(stack, "\ncreated by ")
	if !created {
		return true // the main goroutine
	}
	for _, p := range []string{"testing.", "runtime.", "os/signal."} {
		if strings.HasPrefix(creator, p) {
			return true
		}
	}
	return strings.Contains(stack, "\nos/signal.signal_recv(")
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	for size := 1 << 16; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return string(buf[:n])
		}
	}
}

// descriptors lists the open files of the process. The key is what /proc says is open, whatever the
// number: a file that was open before and has a new number is no leak, a second one is.
func descriptors() ([]thing, error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	own := fmt.Sprintf("/proc/%d/fd", os.Getpid())
	var list []thing
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || target == own {
			continue // closed meanwhile, or the listing itself
		}
		list = append(list, thing{
			kind: "file descriptor",
			key:  strings.TrimSuffix(target, " (deleted)"),
			text: e.Name() + " -> " + target,
		})
	}
	return list, nil
}

// children lists the child processes, dead ones that nobody waited for included.
func children() ([]thing, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	self := strconv.Itoa(os.Getpid())
	var list []thing
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		// pid (comm) state ppid ...: comm may hold blanks and brackets. proc_pid_stat(5).
		stat := string(data)
		end := strings.LastIndexByte(stat, ')')
		if end < 0 {
			continue
		}
		f := strings.Fields(stat[end+1:])
		if len(f) < 20 || f[1] != self {
			continue
		}
		name := stat[:end+1]
		list = append(list, thing{
			kind: "child process",
			key:  name[:strings.IndexByte(name, ' ')] + "@" + f[19], // pid and start time
			text: name + ", state " + f[0] + ", command " + command(path),
		})
	}
	return list, nil
}

func command(statPath string) string {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(statPath), "cmdline"))
	if err != nil || len(data) == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%q", strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00"))
}

// mounts lists the mounts under temp, or all of them if the process has a mount namespace of its own.
func mounts(temp string) ([]thing, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(temp); err == nil {
		temp = resolved
	}
	private := ownNamespace()
	var list []thing
	for line := range strings.Lines(string(data)) {
		// id parent major:minor root mountpoint options ...: proc_pid_mountinfo(5).
		f := strings.Fields(line)
		if len(f) < 6 || !private && !under(f[4], temp) {
			continue
		}
		list = append(list, thing{kind: "mount", key: strings.Join(f[:5], " "), text: line})
	}
	return list, nil
}

func ownNamespace() bool {
	self, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	first, err := os.Readlink("/proc/1/ns/mnt")
	return err == nil && self != first
}

func under(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
