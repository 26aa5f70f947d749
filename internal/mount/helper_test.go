package mount

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// tools puts scripts into PATH that stand for the programs of FUSE. They write what they are asked to a file.
func tools(t *testing.T, scripts map[string]string) (asked string) {
	t.Helper()
	dir := t.TempDir()
	asked = filepath.Join(dir, "asked")
	for name, body := range scripts {
		text := "#!/bin/sh\necho " + name + " \"$@\" >>" + asked + "\n" + body + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+defaultPath)
	return asked
}

func TestFuseIsMountedByItsHelper(t *testing.T) {
	rootfs := newRootfs(t)
	asked := tools(t, map[string]string{"mount.fuse3": "mount -t tmpfs fake \"$2\"", "mount.fuse": "exit 3"})
	m := helperMounter()
	mountAll(t, m, rootfs, Mount{Type: "fuse3.sshfs", Source: "host:/dir", Options: []string{"ro", "allow_other", "rprivate"}})
	wantFile(t, asked, "mount.fuse3 host:/dir "+rootfs+" -o ro -o allow_other -t sshfs\n")

	err := m.All(rootfs, []Mount{{Type: "fuse.sshfs", Source: "host:/dir", Target: "/"}})
	wantErr(t, err, "exit status 3")
	wantErr(t, All(rootfs, []Mount{{Type: "fuse.sshfs"}}), errNoStart.Error())
	t.Setenv("PATH", "/nonexistent")
	if err := m.All(rootfs, []Mount{{Type: "fuse.sshfs"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing helper: %v", err)
	}
}

func TestFuseIsUnmountedByItsHelperFirst(t *testing.T) {
	rootfs := newRootfs(t)
	asked := tools(t, map[string]string{"fusermount3": "exit 1", "fusermount": "exit 0"})
	if err := helperMounter().unmount(entry{path: rootfs, fstype: "fuse.sshfs"}); err != nil {
		t.Error(err)
	}
	wantFile(t, asked, "fusermount3 -u "+rootfs+"\nfusermount -u "+rootfs+"\n")
}
