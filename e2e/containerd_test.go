// Package e2e proves, against real containerd daemons, that the shim does what containerd expects of one.
// README.md in this directory says how to run one test, and how to run them all against containerd's own shim.
package e2e

import (
	"slices"
	"testing"

	"github.com/wisp-shim/wisp/e2e/harness"
)

// A property is what a test proves, and how.
type property struct {
	name  string
	check func(*harness.Case)
	// when says where the property holds; nil stands for everywhere. What the reference is known to
	// get wrong holds for ours alone.
	when func(*harness.Daemon) bool
}

func ours(*harness.Daemon) bool     { return harness.Ours() }
func modern(d *harness.Daemon) bool { return d.Modern }

// TestContainerd proves what needs nothing but a daemon that runs: one daemon a release serves all.
func TestContainerd(t *testing.T) {
	prove(t, slices.Concat(
		lifeProperties(), signalProperties(), execProperties(), stdioProperties(), terminalProperties(),
		eventProperties(), resourceProperties(), shimProperties(),
	))
}

// TestCrashes proves what happens when the daemon or a shim is killed. Its daemons serve no other test.
func TestCrashes(t *testing.T) {
	prove(t, crashProperties())
}

// prove checks the properties against a daemon of each release. The releases run side by side.
func prove(t *testing.T, properties []property) {
	t.Parallel()
	for _, release := range harness.Releases(t) {
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			d := harness.Start(t, release)
			for _, p := range properties {
				if p.when != nil && !p.when(d) {
					continue
				}
				t.Run(p.name, func(t *testing.T) { p.check(harness.NewCase(t, d)) })
			}
		})
	}
}
