package mount

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// image makes an ext4 file system in a file.
func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.ext4")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 8<<20); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mkfs.ext4", "-q", "-F", "-O", "^has_journal", path)
	cmd.Env = append(os.Environ(), "PATH="+defaultPath)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4 (Debian package e2fsprogs): %v: %s", err, out)
	}
	return path
}

// loopDevices lists the loop devices that have a file in dir.
func loopDevices(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range files {
		if backing, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(backing), dir) {
			list = append(list, filepath.Dir(f))
		}
	}
	return list
}

func TestLoopDeviceFreesItself(t *testing.T) {
	rootfs := newRootfs(t)
	path := image(t)
	for _, options := range [][]string{{"loop"}, {"loop", "direct-io"}, {"loop", "ro"}} {
		if err := All(rootfs, []Mount{{Type: "ext4", Source: path, Options: options}}); err != nil {
			t.Fatal(err)
		}
		devices := loopDevices(t, filepath.Dir(path))
		if len(devices) != 1 {
			t.Fatalf("%v: %d loop devices, want 1", options, len(devices))
		}
		direct, err := os.ReadFile(devices[0] + "/dio")
		if want := len(options) > 1 && options[1] == "direct-io"; err != nil || (string(direct) == "1\n") != want {
			t.Errorf("%v: direct-io %q, %v", options, direct, err)
		}
		err = os.WriteFile(rootfs+"/file", []byte("x"), 0o600)
		if ro := len(options) > 1 && options[1] == "ro"; (err != nil) != ro {
			t.Errorf("%v: write: %v", options, err)
		}
		if err := UnmountAll(t.Context(), rootfs); err != nil {
			t.Fatal(err)
		}
		if left := loopDevices(t, filepath.Dir(path)); len(left) != 0 {
			t.Errorf("%v: left %v", options, left)
		}
	}
}

func TestFailedMountFreesTheLoopDevice(t *testing.T) {
	rootfs := newRootfs(t)
	path := filepath.Join(t.TempDir(), "no file system")
	write(t, path, strings.Repeat("x", 1<<20))
	wantErr(t, All(rootfs, []Mount{{Type: "ext4", Source: path, Options: []string{"loop"}}}), "invalid argument")
	if left := loopDevices(t, filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	wantErr(t, All(rootfs, []Mount{{Type: "ext4", Source: path + "x", Options: []string{"loop"}}}), "no such file")
}

// owner returns the owner of a file.
func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

func TestMappedMountShowsOtherOwners(t *testing.T) {
	ids := []string{"uidmap=0:100000:1000", "gidmap=0:200000:1000"}
	ext4 := image(t)
	source := t.TempDir()
	for _, c := range []Mount{
		{Type: "tmpfs", Source: "tmpfs", Options: ids},
		{Type: "ext4", Source: ext4, Options: append([]string{"loop", "nosuid"}, ids...)},
		{Type: "bind", Source: source, Options: append([]string{"rbind", "ro", "rprivate"}, ids...)},
	} {
		t.Run(c.Type, func(t *testing.T) {
			rootfs := newRootfs(t)
			mountAll(t, helperMounter(), rootfs, c)
			if got := owner(t, rootfs); got != "100000:200000" {
				t.Errorf("owner is %s", got)
			}
			if n := mountedOn(t, rootfs); n != 1 {
				t.Errorf("%d mounts, want 1", n)
			}
			if ro := flagsOf(t, rootfs)&1 != 0; ro != (c.Type == "bind") {
				t.Errorf("read-only: %v", ro)
			}
		})
	}
}

func TestMappedOverlayShowsOtherOwnersOfItsLayers(t *testing.T) {
	ids := []string{"uidmap=0:100000:1000,1000:300000:10", "gidmap=0:200000:1000"}
	for _, n := range []int{2, 60, 300} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			rootfs := newRootfs(t)
			layers, upper, work := overlayDirs(t, n, strings.Repeat("n", 120))
			if err := os.Chown(upper, 100000, 200000); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(layers[n-1]+"/own"+fmt.Sprint(n-1), 1005, 5); err != nil {
				t.Fatal(err)
			}
			mountAll(t, helperMounter(), rootfs, Mount{Type: "overlay", Source: "overlay", Options: append([]string{
				"workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(layers, ":"),
			}, ids...)})
			for path, want := range map[string]string{
				"":                       "100000:200000",
				"/own0":                  "100000:200000",
				"/own" + fmt.Sprint(n-1): "300005:200005",
			} {
				if got := owner(t, rootfs+path); got != want {
					t.Errorf("owner of %q is %s, want %s", path, got, want)
				}
			}
			wantLayers(t, rootfs, n)
			if n := mountedOn(t, rootfs); n != 1 {
				t.Errorf("%d mounts, want 1", n)
			}
		})
	}
}

func TestFailedMappingLeavesNothing(t *testing.T) {
	rootfs := newRootfs(t)
	ids := []string{"uidmap=0:100000:1000", "gidmap=0:200000:1000"}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		m     Mounter
		mount Mount
		want  string
	}{
		"no helper":      {Mounter{}, Mount{Type: "tmpfs", Options: ids}, "no way to start a helper process"},
		"proc":           {helperMounter(), Mount{Type: "proc", Options: ids}, "map ids of"},
		"missing layer":  {helperMounter(), Mount{Type: "overlay", Options: append(ids, "lowerdir="+dir+":"+dir+"/missing")}, "missing"},
		"bad overlay":    {helperMounter(), Mount{Type: "overlay", Options: append(ids, "lowerdir="+dir, "nonsense")}, "invalid argument"},
		"two of one map": {helperMounter(), Mount{Type: "tmpfs", Options: append(ids, "uidmap=0:1:5,3:8:2")}, "user namespace"},
	} {
		c.mount.Source = c.mount.Type
		wantErr(t, c.m.All(rootfs, []Mount{c.mount}), c.want)
		if n := mountedOn(t, rootfs); n != 0 {
			t.Errorf("%s: %d mounts are left", name, n)
		}
	}
}
