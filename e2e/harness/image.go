package harness

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// Image is the name of the image that every daemon has: busybox, linked to each of its applets.
	Image = "wisp.test/busybox:latest"

	busybox     = "/bin/busybox" // statically linked: Debian's busybox-static
	snapshotter = "overlayfs"
)

// importImage builds the image from the machine's busybox and unpacks it: no network is needed.
func (d *Daemon) importImage(t testing.TB) {
	t.Helper()
	ctx := d.Context(t)
	if _, err := d.Client.Import(ctx, bytes.NewReader(imageArchive(t)), client.WithAllPlatforms(false)); err != nil {
		t.Fatalf("import image: %v\n%s", err, d.logTail())
	}
	image, err := d.Client.GetImage(ctx, Image)
	if err != nil {
		t.Fatalf("get image: %v", err)
	}
	if err := image.Unpack(ctx, snapshotter); err != nil {
		t.Fatalf("unpack image: %v\n%s", err, d.logTail())
	}
}

// imageArchive returns an OCI image layout of one layer as a tar stream.
func imageArchive(t testing.TB) []byte {
	t.Helper()
	archive := newArchive(t)
	layer := layer(t)
	config := marshal(t, v1.Image{
		Platform: platforms.DefaultSpec(),
		Config:   v1.ImageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}, WorkingDir: "/"},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	manifest := marshal(t, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    archive.blob(v1.MediaTypeImageConfig, config),
		Layers:    []v1.Descriptor{archive.blob(v1.MediaTypeImageLayer, layer)},
	})
	target := archive.blob(v1.MediaTypeImageManifest, manifest)
	target.Annotations = map[string]string{"io.containerd.image.name": Image}
	archive.file("index.json", 0o644, marshal(t, v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{target},
	}))
	archive.file(v1.ImageLayoutFile, 0o644, marshal(t, v1.ImageLayout{Version: v1.ImageLayoutVersion}))
	return archive.close()
}

// layer returns a root file system: busybox, its links, and the directories that containers mount over.
func layer(t testing.TB) []byte {
	t.Helper()
	binary, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatalf("%v: run `make deps` in the repository's root first", err)
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatalf("list busybox's applets: %v", err)
	}
	archive := newArchive(t)
	for _, dir := range []string{"bin", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"} {
		archive.header(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
	}
	archive.file("bin/busybox", 0o755, binary)
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			archive.header(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"})
		}
	}
	archive.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	archive.file("etc/group", 0o644, []byte("root:x:0:\n"))
	return archive.close()
}

// An archive is a tar stream in the making. A failure ends its test.
type archive struct {
	t   testing.TB
	buf bytes.Buffer
	w   *tar.Writer
}

func newArchive(t testing.TB) *archive {
	a := &archive{t: t}
	a.w = tar.NewWriter(&a.buf)
	return a
}

func (a *archive) header(h *tar.Header) {
	a.t.Helper()
	if err := a.w.WriteHeader(h); err != nil {
		a.t.Fatalf("write archive: %v", err)
	}
}

func (a *archive) file(name string, mode int64, data []byte) {
	a.t.Helper()
	a.header(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))})
	if _, err := a.w.Write(data); err != nil {
		a.t.Fatalf("write archive: %v", err)
	}
}

// blob adds data under its digest, where an OCI layout wants it.
func (a *archive) blob(mediaType string, data []byte) v1.Descriptor {
	a.t.Helper()
	sum := digest.FromBytes(data)
	a.file(v1.ImageBlobsDir+"/sha256/"+sum.Encoded(), 0o644, data)
	return v1.Descriptor{MediaType: mediaType, Digest: sum, Size: int64(len(data))}
}

func (a *archive) close() []byte {
	a.t.Helper()
	if err := a.w.Close(); err != nil {
		a.t.Fatalf("close archive: %v", err)
	}
	return a.buf.Bytes()
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
