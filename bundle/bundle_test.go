package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIdentifiersAreContainerds(t *testing.T) {
	good := []string{
		"a", "0", "default", "k8s.io", "a-b_c.d", "A.9", "containerd-test_1.2", strings.Repeat("x", maxIDLength),
	}
	for _, id := range good {
		if err := ValidateID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	bad := []string{
		"", ".", "..", "/", "a/b", "../a", "a/../b", "-a", "a-", "_", "a..b", "a.-b", "a b", "a\n", "a\x00", "é", "a:b",
		strings.Repeat("x", maxIDLength+1),
	}
	for _, id := range bad {
		if err := ValidateID(id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestFilesHaveTheirModeWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o777} {
		old := unix.Umask(umask)
		dir := Dir(t.TempDir())
		must(t, os.Chmod(string(dir), 0o700))
		must(t, dir.WriteOptions(Options{}))
		must(t, dir.WriteRuntime("runc"))
		must(t, dir.WriteExit(Exit{}))
		must(t, WriteFile(dir.File(AddressFile), nil, 0o644))
		unix.Umask(old)
		want := map[string]os.FileMode{OptionsFile: 0o600, RuntimeFile: 0o600, ExitFile: 0o600, AddressFile: 0o644}
		for name, mode := range want {
			info, err := os.Stat(dir.File(name))
			must(t, err)
			if info.Mode() != mode {
				t.Errorf("umask %04o: %s has %v, want %v", umask, name, info.Mode(), mode)
			}
		}
	}
}

func TestAWriteReplacesTheWholeFileAndALinkItself(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "file"), filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte("keep"), 0o644))
	must(t, os.Symlink(target, path))
	for _, content := range []string{"long content", "short", ""} {
		must(t, WriteFile(path, []byte(content), 0o600))
		if got := read(t, path); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
	}
	if got := read(t, target); got != "keep" {
		t.Errorf("the link's target holds %q", got)
	}
	onlyFiles(t, dir, "file", "target")
}

func TestAFailedWriteLeavesNothingAndNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must(t, os.Mkdir(path, 0o700))
	must(t, os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
	err := WriteFile(path, []byte("x"), 0o600)
	if err == nil || !strings.HasPrefix(err.Error(), "write file: ") {
		t.Errorf("got %v", err)
	}
	onlyFiles(t, dir, "file")
	if err := WriteFile(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPidFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), InitPidFile)
	if _, err := ReadPid(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]int{"1": 1, "4711": 4711, " 42\n": 42, "2147483647": 2147483647} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if pid, err := ReadPid(path); err != nil || pid != want {
			t.Errorf("%q: got %d, %v", text, pid, err)
		}
	}
	// A pid of 0 or below, once signalled, would hit a whole process group.
	bad := []string{"", "0", "-1", "x", "1 2", "2147483648", "4294967297", "1.5", "0x10", "12" + strings.Repeat(" ", 100) + "34"}
	for _, text := range bad {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if pid, err := ReadPid(path); err == nil || pid != 0 {
			t.Errorf("%q: got %d, %v", text, pid, err)
		}
	}
}

func TestSocketPathsAreContainerds(t *testing.T) {
	// printf %s /run/containerd/containerd.sock/default/c1 | sha256sum
	const want = "/run/containerd/s/d25aa4ef11a84e954e74a5bcff06557d0b6ea8d0c00243896f29826694bbd888"
	got, err := SocketPath(DefaultSocketDir, "/run/containerd/containerd.sock", "default", "c1")
	must(t, err)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if a := SocketAddress(got); a != "unix://"+want || TrimAddress(a+"\n") != want || TrimAddress(want) != want {
		t.Errorf("address %s", a)
	}
}

func TestASocketDirectoryThatIsTooLongIsRefused(t *testing.T) {
	longest := "/" + strings.Repeat("d", 41)
	path, err := SocketPath(longest, "a", "n", "i")
	if err != nil || len(path) != maxSocketPath {
		t.Errorf("%d: %v", len(path), err)
	}
	if _, err := SocketPath(longest+"d", "a", "n", "i"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "longer than 42") {
		t.Errorf("got %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
