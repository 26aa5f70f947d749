package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// A listed package is what go list says of it.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// list returns the packages that match, for Linux and without cgo, as they are released. Packages that do not
// compile are listed all the same: that is for the compiler to say.
func list(t *testing.T, args ...string) map[string]*listed {
	t.Helper()
	out := run(t, append([]string{"list", "-e", "-json=ImportPath,Imports,Deps"}, args...)...)
	packages := make(map[string]*listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &listed{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// own returns the name of one of our packages, relative to the module.
func own(path string) (string, bool) { return strings.CutPrefix(path, modulePath+"/") }

func TestPackagesImportLowerLayersOnly(t *testing.T) {
	rules := make(map[string]layer)
	for _, l := range layers() {
		rules[l.name] = l
	}
	for path, p := range list(t, "./...") {
		name, ok := own(path)
		if !ok || strings.HasSuffix(name, "test") {
			continue
		}
		rule, ok := rules[name]
		if !ok {
			t.Errorf("package %s is in no layer: give it a row in table_test.go", name)
			continue
		}
		for _, dep := range p.Imports {
			if d, ok := own(dep); ok && !slices.Contains(rule.may, d) {
				t.Errorf("%s imports %s: of ours it may import %v, for %s", name, d, rule.may, rule.why)
			}
		}
	}
}

// broken returns those of imports that a ban is on.
func broken(imports []string, bans []ban) []string {
	var list []string
	for _, path := range imports {
		for _, b := range bans {
			if (path == b.path || strings.HasPrefix(path, b.path+"/")) && !slices.Contains(b.except, path) {
				list = append(list, path+" ("+b.why+")")
			}
		}
	}
	return list
}

func TestShimLinksLittle(t *testing.T) {
	deps := list(t, "./cmd/shim")[modulePath+"/cmd/shim"].Deps
	for _, b := range broken(deps, unlinked()) {
		t.Errorf("the shim links %s", b)
	}
	if n := len(deps) + 1; n > maxShimPackages {
		t.Errorf("the shim links %d packages, budget %d", n, maxShimPackages)
	} else {
		t.Logf("the shim links %d packages of %d", n, maxShimPackages)
	}
	for path, p := range list(t, "-deps", "./cmd/shim") {
		if name, ok := own(path); ok {
			for _, b := range broken(p.Imports, append(unimported(), unlinked()...)) {
				t.Errorf("%s imports %s", name, b)
			}
		}
	}
}

func TestProcDoesNotKnowTheWire(t *testing.T) {
	for path, p := range list(t, "./proc", "./runc", "./reaper", "./io", "./bundle", "./internal/cgroup", "./internal/mount") {
		for _, b := range broken(p.Deps, belowTheWire()) {
			t.Errorf("%s links %s", path, b)
		}
	}
}

// TestBansBite proves on packages that do so that a forbidden import is found.
func TestBansBite(t *testing.T) {
	tests := list(t, "-deps", "net/http/httptest")["net/http/httptest"]
	if tests == nil || len(broken(tests.Deps, unlinked())) < 2 {
		t.Error("net/http's dependencies break no ban")
	}
	for path, want := range map[string]bool{
		"google.golang.org/grpc":                 true,
		"google.golang.org/grpc/server":          true,
		"google.golang.org/grpc/status":          false,
		"google.golang.org/grpc/internal/status": false,
		"google.golang.org/grpc/internal/x":      true,
		"google.golang.org/grpcx":                false,
	} {
		if got := len(broken([]string{path}, unlinked())) > 0; got != want {
			t.Errorf("%s is banned: %v", path, got)
		}
	}
}

func TestShimsBinaryIsSmall(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "shim")
	run(t, "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/shim")
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxShimBytes {
		t.Errorf("the binary has %d bytes, budget %d", info.Size(), maxShimBytes)
	} else {
		t.Logf("the binary has %d bytes of %d", info.Size(), maxShimBytes)
	}
}
