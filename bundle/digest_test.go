package bundle

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// Our digest is the standard library's, for every length around the blocks' edges.
func TestDigestIsSHA256(t *testing.T) {
	for n := range 300 {
		text := strings.Repeat("/run/k3s", 40)[:n]
		if digest(text) != sha256.Sum256([]byte(text)) {
			t.Fatalf("digest of %d bytes differs", n)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add("")
	f.Add("/run/containerd/containerd.sock/default/c1")
	f.Fuzz(func(t *testing.T, text string) {
		if digest(text) != sha256.Sum256([]byte(text)) {
			t.Fatalf("digest of %q differs", text)
		}
	})
}
