package shim

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// withUmask runs f under a umask. Tests of this package that use it are not parallel.
func withUmask(mask int, f func()) {
	old := unix.Umask(mask)
	defer unix.Umask(old)
	f()
}

func TestASocketIsPrivateWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o777} {
		path := filepath.Join(t.TempDir(), "run", "s", "socket")
		withUmask(mask, func() {
			f, err := listen(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		})
		for p, want := range map[string]os.FileMode{path: 0o600 | os.ModeSocket, filepath.Dir(path): 0o700 | os.ModeDir} {
			if info, err := os.Stat(p); err != nil || info.Mode() != want {
				t.Errorf("umask %o: %s has mode %v, want %v", mask, p, info.Mode(), want)
			}
		}
	}
}

func TestALiveSocketIsKeptAndADeadOneReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	f, live, err := claimSocket(dir, path)
	if err != nil || live {
		t.Fatal(live, err)
	}
	if g, live, err := claimSocket(dir, path); err != nil || !live || g != nil {
		t.Fatalf("a live socket: %v, %v, %v", g, live, err)
	}
	f.Close() // its process has died
	f, live, err = claimSocket(dir, path)
	if err != nil || live {
		t.Fatalf("a dead socket: %v, %v", live, err)
	}
	defer f.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestOfManyClaimsOfOneSocketOneWins(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	if f, err := listen(path); err != nil { // a dead one lies there
		t.Fatal(err)
	} else {
		f.Close()
	}
	var wg sync.WaitGroup
	files := make(chan *os.File, 20)
	for range cap(files) {
		wg.Go(func() {
			f, live, err := claimSocket(dir, path)
			switch {
			case err != nil:
				t.Error(err)
			case !live:
				files <- f
			}
		})
	}
	wg.Wait()
	if len(files) != 1 {
		t.Errorf("%d claims have won", len(files))
	}
	close(files)
	for f := range files {
		f.Close()
	}
}

func TestASocketWhoseBacklogIsFullIsLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if live, err := probe(path); err != nil || !live {
			t.Fatal(live, err)
		}
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		_ = unix.Connect(c, &unix.SockaddrUnix{Name: path}) // fills the backlog
	}
}

func TestAPathTooLongForASocketIsAClearError(t *testing.T) {
	_, err := listen(filepath.Join(t.TempDir(), strings.Repeat("x", 120)))
	if err == nil || !strings.Contains(err.Error(), "bind socket") {
		t.Errorf("error is %v", err)
	}
}
