package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wisp-shim/wisp/internal/leak"
)

const insideEnv = "WISP_MOUNT_TEST_INSIDE"

// TestMain runs the tests in a mount namespace of their own, so that nothing they mount is seen outside or
// outlives them.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{HoldArg}) {
		Hold(os.Stdin)
		return
	}
	if os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "these tests need root, for a mount namespace:", err)
		os.Exit(1)
	}
}

// helperMounter is a Mounter that starts processes. Their own code waits for them: there is no reaper here.
func helperMounter() Mounter {
	return Mounter{Start: func(c Command) (*Child, error) {
		cmd := &exec.Cmd{Path: c.Path, Args: c.Args, Env: c.Env}
		if len(c.Files) > 0 {
			cmd.Stdin = c.Files[0]
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: c.Cloneflags, UidMappings: c.UidMappings, GidMappings: c.GidMappings,
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		done := make(chan struct{})
		go func() { defer close(done); cmd.Wait() }()
		return &Child{
			Pid:    cmd.Process.Pid,
			Done:   done,
			Status: func() int { return cmd.ProcessState.ExitCode() },
			Kill:   func() { cmd.Process.Kill() },
		}, nil
	}}
}

// newRootfs makes an empty directory to mount on, in a test that must leave nothing behind.
func newRootfs(t *testing.T) string {
	t.Helper()
	leak.Check(t)
	return mkdir(t, t.TempDir(), "rootfs")
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("read %s: %q, %v; want %q", path, got, err, want)
	}
}

func wantErr(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q in it", err, want)
	}
}

// mountAll mounts, and unmounts when the test is over.
func mountAll(t *testing.T, m Mounter, rootfs string, mounts ...Mount) {
	t.Helper()
	if err := m.All(rootfs, mounts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.UnmountAll(t.Context(), rootfs); err != nil {
			t.Error(err)
		}
	})
}

// flagsOf returns the ST_ flags at path.
func flagsOf(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Flags
}

// mountedOn counts the mounts at and under dir.
func mountedOn(t *testing.T, dir string) int {
	t.Helper()
	list, err := mountsUnder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
