//go:build !amd64 && !arm64

package detach

// forked tells that there is no entry of ours here.
func forked() (pipe, manager int64) { return 0, 0 }
