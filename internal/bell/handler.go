//go:build amd64 || arm64

package bell

// handlerPC and restorerPC are addresses for sigaction.
func handlerPC() uintptr
func restorerPC() uintptr

// arm has the handler add to an eventfd when a signal comes; to none with -1.
func arm(signal, fd int)

// take tells whether the handler has seen a signal, and forgets it.
func take(signal int) bool
