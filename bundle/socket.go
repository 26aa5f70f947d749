package bundle

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
)

// DefaultSocketDir is where shims' sockets are unless the manager names another
// directory.
const DefaultSocketDir = "/run/containerd/s"

// maxSocketPath is what sun_path holds besides its NUL, in bytes (unix(7)).
const maxSocketPath = 107

// scheme is what a socket path is preceded by to be an address.
const scheme = "unix://"

// SocketPath returns where the shim of a container listens: dir, and a name made
// of the path of the manager's grpc socket, the namespace and the id. The formula is
// containerd's, whose clients compute it themselves. A directory that leaves no
// room for the name is an error that wraps ErrInvalid.
func SocketPath(dir, grpcAddress, namespace, id string) (string, error) {
	sum := digest(filepath.Join(grpcAddress, namespace, id))
	path := filepath.Join(dir, hex.EncodeToString(sum[:]))
	if len(path) > maxSocketPath {
		room := maxSocketPath - len("/") - hex.EncodedLen(len(sum))
		return "", fmt.Errorf("socket directory %s is longer than %d characters: %w", dir, room, ErrInvalid)
	}
	return path, nil
}

// SocketAddress returns the address of the socket at path.
func SocketAddress(path string) string { return scheme + path }

// TrimAddress returns the path in an address, or a path as it is; blanks around
// it go.
func TrimAddress(address string) string {
	return strings.TrimPrefix(strings.TrimSpace(address), scheme)
}
