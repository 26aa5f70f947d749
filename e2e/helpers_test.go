package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wisp-shim/wisp/e2e/harness"
)

// nullIO gives a process no stdio.
func nullIO(id string) (cio.IO, error) { return cio.NullIO(id) }

// hostPIDs makes a container share the machine's pid namespace.
func hostPIDs() []oci.SpecOpts {
	return []oci.SpecOpts{oci.WithHostNamespace(specs.PIDNamespace)}
}

const (
	payloadSize = 64 << 20
	bulkLimit   = time.Minute // for the payload to come, on a machine that is busy
)

// payload makes a file of random bytes in a directory to mount, and returns both with the file's checksum.
func payload(c *harness.Case) (dir string, sum []byte) {
	dir = c.T.TempDir()
	data := make([]byte, payloadSize)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(data) // never fails
	c.NoError(os.WriteFile(filepath.Join(dir, "payload"), data, 0o644), "write payload")
	hash := sha256.Sum256(data)
	return dir, hash[:]
}

// bind mounts a directory of the machine at /mnt.
func bind(dir string) []oci.SpecOpts {
	return []oci.SpecOpts{oci.WithMounts([]specs.Mount{{
		Type: "bind", Source: dir, Destination: "/mnt", Options: []string{"rbind", "rw"},
	}})}
}

// A tally counts and sums what is written to it.
type tally struct {
	mu   sync.Mutex // guards what follows
	hash hash.Hash
	n    int
}

func newTally() *tally { return &tally{hash: sha256.New()} }

// Write implements io.Writer.
func (y *tally) Write(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.n += len(p)
	return y.hash.Write(p)
}

func (y *tally) count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.n
}

// await waits until as many bytes as the payload's have come.
func (y *tally) await(c *harness.Case) {
	c.T.Helper()
	c.Eventually(bulkLimit, func() bool { return y.count() >= payloadSize },
		func() string { return fmt.Sprintf("%d bytes of %d have come", y.count(), payloadSize) })
}

// equal compares the checksum.
func (y *tally) equal(c *harness.Case, sum []byte) {
	c.T.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	if got := y.hash.Sum(nil); !bytes.Equal(got, sum) {
		c.T.Errorf("%d bytes of %d have come, checksum %x, want %x", y.n, payloadSize, got, sum)
	}
}
