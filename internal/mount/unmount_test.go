package mount

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func tmpfs(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", mkdir(t, dir), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

func TestUnmountAllTakesStackedAndNestedAndHiddenMounts(t *testing.T) {
	rootfs := newRootfs(t)
	beside := rootfs + "-beside"
	tmpfs(t, beside)
	t.Cleanup(func() { unix.Unmount(beside, 0) })
	tmpfs(t, rootfs)
	tmpfs(t, rootfs+"/a b/deep\ner")
	tmpfs(t, rootfs+"/a b/deep\ner")
	tmpfs(t, rootfs+"/hidden")
	tmpfs(t, rootfs) // hides all of the above
	tmpfs(t, rootfs+"/x")
	link := t.TempDir() + "/link"
	if err := os.Symlink(rootfs, link); err != nil {
		t.Fatal(err)
	}
	if err := UnmountAll(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if n := mountedOn(t, rootfs); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
	if n := mountedOn(t, beside); n != 1 {
		t.Error("a neighbour whose name begins alike is gone")
	}
}

func TestUnmountAllOfNothing(t *testing.T) {
	rootfs := newRootfs(t)
	for _, dir := range []string{rootfs, rootfs + "/missing"} {
		if err := UnmountAll(t.Context(), dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestBusyMountIsTriedUntilItIsFree(t *testing.T) {
	rootfs := newRootfs(t)
	tmpfs(t, rootfs)
	f, err := os.Create(rootfs + "/open")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = UnmountAll(short, rootfs)
	if !errors.Is(err, unix.EBUSY) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), rootfs) {
		t.Errorf("got %v, want EBUSY, the end of the context and the name of the mount", err)
	}
	result := make(chan error, 1)
	go func() { result <- UnmountAll(t.Context(), rootfs) }()
	select {
	case err := <-result:
		t.Fatalf("a busy mount is gone, or given up without need: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	f.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestTableLinesOfAnyLengthAreRead(t *testing.T) {
	long := strings.Repeat("/layer", 100000)
	table := strings.NewReader("" +
		`30 1 0:1 / / rw - ext4 /dev/vda rw` + "\n" +
		`31 30 0:2 / /run/a\040b rw,nosuid shared:5 master:3 - overlay overlay rw,lowerdir=` + long + "\n" +
		`32 31 0:3 /root\134x /run/a\040b/c\012d ro - fuse.sshfs host rw` + "\n" +
		`33 31 0:3 / /run/a\040bc ro - tmpfs host rw` + "\n" +
		"nonsense\n")
	got, err := parseTable(table, "/run/a b")
	want := []entry{{"/run/a b", "overlay"}, {"/run/a b/c\nd", "fuse.sshfs"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
