package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/internal/launch"
	"github.com/wisp-shim/wisp/protos"
)

// end takes the shim down as a manager does, Shutdown and then `delete`, and checks that nothing is left. A test that has ended the shim
// another way sets r.shim to nil.
func (r *rig) end() {
	r.t.Helper()
	if r.shim != nil {
		_, _ = r.shim.Task.Shutdown(r.ctx, &protos.ShutdownRequest{Id: r.config.ID}) // its answer may be lost with the connection
		if !r.t.Failed() {
			if err := r.process.Wait(r.ctx); err != nil {
				r.t.Errorf("after Shutdown: %v", err)
			}
		}
	}
	r.checkGone()
	if r.t.Failed() {
		r.rescue()
	}
	r.letGo()
}

// letGo closes what the test holds of the shim.
func (r *rig) letGo() {
	if r.shim != nil {
		_ = r.shim.Close()
		_ = r.process.Close()
	}
	r.shim, r.process = nil, nil
}

// rescue cleans up after a test that has failed, so that the next one is not disturbed.
func (r *rig) rescue() {
	if r.process != nil {
		_ = r.process.Kill()
	}
	if _, err := launch.Delete(r.ctx, r.config); err != nil {
		r.t.Logf("clean up: %v", err)
	}
	for pid := range r.marked() {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
}

// checkGone fails the test for a process, socket, mount, cgroup, state of the runtime or file in the bundle that is left of the task.
func (r *rig) checkGone() {
	r.t.Helper()
	for _, left := range r.leftovers() {
		r.t.Errorf("left behind: %s", left)
	}
}

func (r *rig) leftovers() []string {
	var found []string
	for pid, command := range r.marked() {
		found = append(found, fmt.Sprintf("process %d: %s", pid, command))
	}
	for _, path := range r.cgroups() {
		found = append(found, "cgroup "+path)
	}
	for _, mount := range r.mounts() {
		found = append(found, "mount on "+mount)
	}
	for _, dir := range []string{r.config.SocketDir, filepath.Join(r.options.GetRoot(), namespace)} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return append(found, r.strangers()...)
}

// marked lists the live processes that carry the rig's marker, with their command lines: the shim, its runtimes and the container's.
func (r *rig) marked() map[int]string {
	found := map[int]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		data, err := os.ReadFile(path)
		if err != nil || pid == os.Getpid() || !slices.ContainsFunc(bytes.Split(data, []byte{0}), r.isMarker) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
	}
	return found
}

func (r *rig) isMarker(entry []byte) bool { return string(entry) == r.marker() }

// cgroups lists the container's cgroups, of version 1 or 2.
func (r *rig) cgroups() []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/wisp", "/sys/fs/cgroup/*/wisp"} {
		matches, _ := filepath.Glob(filepath.Join(pattern, namespace, r.config.ID+"*"))
		found = append(found, matches...)
	}
	return found
}

// mounts lists what is mounted below the rig's directory.
func (r *rig) mounts() []string {
	var found []string
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], r.dir+"/") {
			found = append(found, fields[4])
		}
	}
	return found
}

// strangers lists the files of the bundle that may not outlive the shim. What a manager or a test made there, and what is left for `delete`
// to read, may: the manager removes the bundle as a whole.
func (r *rig) strangers() []string {
	may := []string{
		bundle.ConfigFile, bundle.RootfsDir, bundle.LogFile, bundle.BootstrapFile, launch.BinaryFile,
		bundle.OptionsFile, bundle.RuntimeFile, bundle.RuntimeLogFile, bundle.InitPidFile, bundle.ExitFile, bundle.DumpFile,
	}
	var found []string
	entries, err := os.ReadDir(r.config.Bundle)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if !slices.Contains(may, e.Name()) && !strings.HasPrefix(e.Name(), "test-") {
			found = append(found, "file of the bundle: "+e.Name())
		}
		if e.Name() == bundle.RootfsDir {
			inside, _ := os.ReadDir(filepath.Join(r.config.Bundle, e.Name()))
			for _, in := range inside {
				found = append(found, "file of the root file system: "+in.Name())
			}
		}
	}
	return found
}

// file is a path in the bundle for a test's own use.
func (r *rig) file(name string) string { return filepath.Join(r.config.Bundle, "test-"+name) }

func (r *rig) write(name, text string, mode fs.FileMode) string {
	r.t.Helper()
	must(r.t, os.WriteFile(r.file(name), []byte(text), mode))
	must(r.t, os.Chmod(r.file(name), mode))
	return r.file(name)
}
