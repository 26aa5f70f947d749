package mount

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadOnlyBindIsReadOnly(t *testing.T) {
	rootfs := newRootfs(t)
	source := t.TempDir()
	write(t, source+"/file", "text")
	mountAll(t, Mounter{}, rootfs, Mount{Type: "bind", Source: source, Options: []string{"rbind", "ro", "nosuid"}})
	wantFile(t, rootfs+"/file", "text")
	if got := flagsOf(t, rootfs); got&unix.ST_RDONLY == 0 || got&unix.ST_NOSUID == 0 {
		t.Errorf("flags %#x, want ro and nosuid", got)
	}
	if err := os.WriteFile(rootfs+"/file", nil, 0o600); err == nil {
		t.Error("writing to a read-only bind works")
	}
	if got := flagsOf(t, source); got&unix.ST_RDONLY != 0 {
		t.Error("the source has become read-only")
	}
}

func TestReadOnlyBindKeepsItsSourcesFlags(t *testing.T) {
	rootfs := newRootfs(t)
	source := mkdir(t, t.TempDir(), "source")
	mountAll(t, Mounter{}, source, Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"nodev", "noexec"}})
	mountAll(t, Mounter{}, rootfs, Mount{Type: "bind", Source: source, Options: []string{"bind", "ro", "exec"}})
	got := flagsOf(t, rootfs)
	if want := int64(unix.ST_RDONLY | unix.ST_NODEV); got&(want|unix.ST_NOEXEC) != want {
		t.Errorf("flags %#x, want ro and nodev but not noexec", got)
	}
}

func TestMountsAreStackedInOrder(t *testing.T) {
	rootfs := newRootfs(t)
	mountAll(t, Mounter{}, rootfs,
		Mount{Type: "tmpfs", Source: "first", Options: []string{"size=1m", "mode=0711"}},
		Mount{Type: "tmpfs", Source: "second", Options: []string{"size=2m", "mode=0750"}},
	)
	info, err := os.Stat(rootfs)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode %v, %v; want that of the second", info.Mode(), err)
	}
	if n := mountedOn(t, rootfs); n != 2 {
		t.Errorf("%d mounts, want 2", n)
	}
}

func TestTargetDoesNotEscape(t *testing.T) {
	rootfs := newRootfs(t)
	outside := mkdir(t, t.TempDir(), "outside")
	mkdir(t, rootfs, outside) // what the links lead to when / is rootfs
	mkdir(t, rootfs, "sub")
	for name, link := range map[string]string{"absolute": outside, "dots": "../../../../../../../.." + outside} {
		if err := os.Symlink(link, filepath.Join(rootfs, "sub", name)); err != nil {
			t.Fatal(err)
		}
		mountAll(t, Mounter{}, rootfs, Mount{Type: "tmpfs", Source: "tmpfs", Target: "/sub/" + name})
		if n := mountedOn(t, outside); n != 0 {
			t.Errorf("%s link: mounted outside of the root file system", name)
		}
	}
	if n := mountedOn(t, rootfs+outside); n != 2 {
		t.Errorf("%d mounts inside, want 2", n)
	}
}

func TestTargetIsFoundInWhatIsMountedBefore(t *testing.T) {
	rootfs := newRootfs(t)
	source := t.TempDir()
	mkdir(t, source, "etc")
	mountAll(t, Mounter{}, rootfs,
		Mount{Type: "bind", Source: source, Options: []string{"rbind"}},
		Mount{Type: "tmpfs", Source: "tmpfs", Target: "etc", Options: []string{"ro"}},
	)
	if got := flagsOf(t, rootfs+"/etc"); got&unix.ST_RDONLY == 0 {
		t.Error("nothing is mounted on etc")
	}
}

func TestFailureUndoesAllAndNamesTheMount(t *testing.T) {
	rootfs := newRootfs(t)
	err := All(rootfs, []Mount{
		{Type: "tmpfs", Source: "one"},
		{Type: "tmpfs", Source: "two"},
		{Type: "tmpfs", Source: "three", Target: "missing"},
	})
	wantErr(t, err, `mount tmpfs "three" on `+rootfs+"/missing: ")
	if n := mountedOn(t, rootfs); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
}

func TestRemountIsNotUndone(t *testing.T) {
	rootfs := newRootfs(t)
	mountAll(t, Mounter{}, rootfs, Mount{Type: "tmpfs", Source: "somebody else's"})
	err := All(rootfs, []Mount{
		{Type: "tmpfs", Source: "ours"},
		{Type: "tmpfs", Source: "ours", Options: []string{"remount", "ro"}},
		{Type: "nonsense"},
	})
	wantErr(t, err, "no such device")
	if n := mountedOn(t, rootfs); n != 1 {
		t.Errorf("%d mounts, want the one that was there before", n)
	}
}

func TestFailureAfterTheMountUndoesIt(t *testing.T) {
	rootfs := newRootfs(t)
	// An unbindable and shared mount is a contradiction to the kernel: two types in one call.
	o := &options{propagation: unix.MS_SHARED | unix.MS_UNBINDABLE}
	if err := (Mounter{}).first(rootfs, &Mount{Type: "tmpfs"}, o); err != nil {
		t.Fatal(err)
	}
	if err := finish(rootfs, "", o); err == nil {
		t.Error("an impossible propagation is accepted")
	}
	if err := undo(rootfs, ""); err != nil || mountedOn(t, rootfs) != 0 {
		t.Errorf("undo: %v, %d mounts", err, mountedOn(t, rootfs))
	}
}

func TestPropagationIsSet(t *testing.T) {
	rootfs := newRootfs(t)
	mountAll(t, Mounter{}, rootfs, Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "rshared"}})
	table, err := os.ReadFile(mountTable)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, " "+rootfs+" ") {
			if !strings.Contains(line, "shared:") || !strings.Contains(line, "nosuid") {
				t.Errorf("want shared and nosuid: %s", line)
			}
			return
		}
	}
	t.Error("nothing is mounted")
}

func TestRefusedOptions(t *testing.T) {
	rootfs := newRootfs(t)
	for _, c := range []struct {
		option, want string
	}{
		{"X-containerd.mkfs=1", `internal mount option "X-containerd.mkfs=1" was not consumed by the mount manager`},
		{"mode=0755" + strings.Repeat("0", os.Getpagesize()), "mount options is too long"},
		{"uidmap=0:1000:1", "both uidmap and gidmap are needed"},
		{"uidmap=0:1000", "is not CONTAINER:HOST:SIZE"},
		{"gidmap=0:-1:1", "is not CONTAINER:HOST:SIZE"},
	} {
		wantErr(t, All(rootfs, []Mount{{Type: "tmpfs", Source: "x", Options: []string{c.option}}}), c.want)
		if n := mountedOn(t, rootfs); n != 0 {
			t.Errorf("%.20s: %d mounts are left", c.option, n)
		}
	}
}

func TestWordsBecomeFlags(t *testing.T) {
	for _, c := range []struct {
		words       string
		flags       uintptr
		cleared     uintptr
		propagation uintptr
		data        string
	}{
		{"rw", 0, unix.MS_RDONLY, 0, ""},
		{"ro rw", 0, unix.MS_RDONLY, 0, ""},
		{"rw ro", unix.MS_RDONLY, 0, 0, ""},
		{"rbind ro rslave", unix.MS_BIND | unix.MS_REC | unix.MS_RDONLY, 0, unix.MS_SLAVE | unix.MS_REC, ""},
		{"nosuid nodev mode=755 size=1m", unix.MS_NOSUID | unix.MS_NODEV, 0, 0, "mode=755,size=1m"},
		{"defaults sync async", 0, unix.MS_SYNCHRONOUS, 0, ""},
		{"noatime atime remount", unix.MS_REMOUNT, unix.MS_NOATIME, 0, ""},
		{"index=off userxattr", 0, 0, 0, "index=off,userxattr"},
		{"direct-io", 0, 0, 0, "direct-io"},
	} {
		o, err := parse(strings.Fields(c.words))
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		if o.flags != c.flags || o.cleared != c.cleared || o.propagation != c.propagation || o.data() != c.data {
			t.Errorf("%s: flags %#x cleared %#x propagation %#x data %q", c.words, o.flags, o.cleared, o.propagation, o.data())
		}
	}
}
