package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// overlayDirs makes n lower layers with long names, the first on top. Each has a file of its own, and all have
// the file "shared".
func overlayDirs(t *testing.T, n int, name string) (layers []string, upper, work string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		layer := mkdir(t, dir, strconv.Itoa(i)+name)
		write(t, layer+"/own"+strconv.Itoa(i), "own")
		write(t, layer+"/shared", strconv.Itoa(i))
		layers = append(layers, layer)
	}
	return layers, mkdir(t, dir, "upper"), mkdir(t, dir, "work")
}

func wantLayers(t *testing.T, rootfs string, n int) {
	t.Helper()
	wantFile(t, rootfs+"/shared", "0")
	for i := range n {
		wantFile(t, rootfs+"/own"+strconv.Itoa(i), "own")
	}
	write(t, rootfs+"/new", "written")
}

func TestOverlayOfAnyLength(t *testing.T) {
	for _, c := range []struct {
		layers int
		name   string
	}{
		{1, "layer"},
		{3, "with:colon\\and backslash"},
		{60, strings.Repeat("n", 120)},                // longer than a page
		{60, strings.Repeat("n:", 60)},                // and escaped
		{20, strings.Repeat("n", 250)},                // longer than fsconfig takes
		{300, "layer" + strings.Repeat("manylay", 9)}, // longer than a page even by descriptors
	} {
		t.Run(fmt.Sprintf("%d of %d bytes", c.layers, len(c.name)), func(t *testing.T) {
			rootfs := newRootfs(t)
			layers, upper, work := overlayDirs(t, c.layers, c.name)
			escape := strings.NewReplacer(`\`, `\\`, ":", `\:`)
			for i := range layers {
				layers[i] = escape.Replace(layers[i])
			}
			mountAll(t, Mounter{}, rootfs, Mount{Type: "overlay", Source: "overlay", Options: []string{
				"index=off", "workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(layers, ":"), "noatime",
			}})
			wantLayers(t, rootfs, c.layers)
			wantFile(t, upper+"/new", "written")
			if got := flagsOf(t, rootfs); got&1024 == 0 {
				t.Errorf("flags %#x, want noatime", got)
			}
		})
	}
}

// Before Linux 6.5 there is no other way than this.
func TestLongOverlayByDescriptorsAlone(t *testing.T) {
	rootfs := newRootfs(t)
	paths, upper, work := overlayDirs(t, 60, strings.Repeat("n", 120))
	var layers []layer
	for _, p := range paths {
		layers = append(layers, layer{path: p})
	}
	short, files, err := alias(layers)
	defer closeAll(files)
	if err != nil {
		t.Fatal(err)
	}
	data := join(short, []string{"upperdir=" + upper, "workdir=" + work})
	mountAll(t, Mounter{}, rootfs, Mount{Type: "overlay", Source: "overlay", Options: strings.Split(data, ",")})
	wantLayers(t, rootfs, 60)
}

func TestFailedLongOverlaySaysWhatTheKernelSays(t *testing.T) {
	rootfs := newRootfs(t)
	layers, _, _ := overlayDirs(t, 60, strings.Repeat("n", 120))
	err := All(rootfs, []Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + strings.Join(layers, ":"), "nonsense=1",
	}}})
	wantErr(t, err, "nonsense")
	layers[30] += "missing"
	err = All(rootfs, []Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(layers, ":")}}})
	wantErr(t, err, "no such file or directory")
}

func TestLayersSurviveSplitAndJoin(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []layer
	}{
		{"/a", []layer{{path: "/a"}}},
		{"/a:/b", []layer{{path: "/a"}, {path: "/b"}}},
		{`/a\:b:/c\\d`, []layer{{path: "/a:b"}, {path: `/c\d`}}},
		{"/a::/data::/more", []layer{{path: "/a"}, {path: "/data", data: true}, {path: "/more", data: true}}},
	} {
		layers := splitLayers(c.value)
		if !slices.Equal(layers, c.want) {
			t.Errorf("%s: %v, want %v", c.value, layers, c.want)
		}
		if got := join(layers, []string{"x"}); got != "lowerdir="+c.value+",x" {
			t.Errorf("%s: joined to %s", c.value, got)
		}
	}
}

func TestMountedLayersAreNamedByTheirPaths(t *testing.T) {
	rootfs := newRootfs(t)
	layers, upper, work := overlayDirs(t, 60, strings.Repeat("n", 120))
	mountAll(t, Mounter{}, rootfs, Mount{Type: "overlay", Source: "overlay", Options: []string{
		"workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(layers, ":"),
	}})
	table, err := os.ReadFile(mountTable)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(table), filepath.Base(layers[59])) {
		t.Error("the table of mounts does not name the last layer: people debug with that (needs Linux 6.5)")
	}
}
