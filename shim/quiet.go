package shim

import (
	"runtime/debug"
	"time"
)

// quietAfter is how long nothing must have happened before memory goes back to the system: longer than the pauses within a burst of requests.
const quietAfter = time.Second

// quiet gives memory back to the system once the work is over. There is no tick: a shim that idles does not wake up.
type quiet struct {
	timer *time.Timer
}

func newQuiet() *quiet {
	return &quiet{timer: time.AfterFunc(quietAfter, debug.FreeOSMemory)}
}

// stir tells that something happens now.
func (q *quiet) stir() { q.timer.Reset(quietAfter) }

func (q *quiet) stop() { q.timer.Stop() }
