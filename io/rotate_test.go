package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wisp-shim/wisp/internal/leak"
)

func TestRotationTearsNoLineAndKeepsTheOrder(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "logs", "log")
	s := open(t, Config{Stdout: "file://" + path + "?max-size=4k&max-files=100"})
	p := start(t, s, "sh:i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done")
	p.wait(s)
	finish(t, s)
	var all strings.Builder
	for i := 99; i >= 0; i-- {
		name := path
		if i > 0 {
			name = fmt.Sprintf("%s.%d", path, i)
		}
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 4<<10 || len(b) > 0 && b[len(b)-1] != '\n' {
			t.Errorf("%s: %d bytes, ends with %q", name, len(b), b[max(0, len(b)-5):])
		}
		all.Write(b)
	}
	var want strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if all.String() != want.String() {
		t.Errorf("the files together are not what was written: %d bytes, want %d", all.Len(), want.Len())
	}
	if entries, err := filepath.Glob(path + ".new"); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestRotationKeepsAsManyFilesAsAskedFor(t *testing.T) {
	for files := 1; files <= 3; files++ {
		path := filepath.Join(t.TempDir(), "log")
		r, err := openRotating(path, limit{size: 100, files: files})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			fmt.Fprintf(r, "this is line number %d\n", i)
		}
		r.Close()
		names, err := filepath.Glob(path + "*")
		if err != nil || len(names) != files {
			t.Errorf("%v %v, want %d files", names, err, files)
		}
	}
}

func TestLinesInPiecesAndLongOnesRotateToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r, err := openRotating(path, limit{size: 10, files: 9})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"1234567", "89abc\n", "x", "\n", strings.Repeat("y", 45), "\nend\n"} {
		if n, err := r.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	r.Close()
	var got []string
	for i := 8; i > 0; i-- {
		if b, err := os.ReadFile(fmt.Sprintf("%s.%d", path, i)); err == nil {
			got = append(got, string(b))
		}
	}
	got = append(got, readFile(t, path))
	if got[0] != "123456789abc\n" || got[1] != "x\n" || strings.Count(strings.Join(got, ""), "y") != 45 || !strings.HasSuffix(got[len(got)-1], "y\nend") {
		t.Errorf("got %q", got)
	}
	for _, file := range got {
		if len(file) > 20 {
			t.Errorf("%q is longer than twice the limit", file)
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, query := range []string{"max-size=", "max-size=0", "max-size=-1", "max-size=9999999999g", "max-size=1x", "max-files=0", "max-sise=1"} {
		_, err := Open(context.Background(), Config{Stdout: "file:///tmp/never?" + query})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", query, err)
		}
	}
	for in, want := range map[string]int64{"7": 7, "2k": 2048, "3M": 3 << 20, "1g": 1 << 30} {
		if got, err := parseSize(in); got != want || err != nil {
			t.Errorf("%s: got %d %v, want %d", in, got, err, want)
		}
	}
}
