//go:build linux && lab

package world

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Limit bounds every wait. It is generous because the machine may be busy. The actual times are
// reported.
const Limit = 60 * time.Second

// Hold waits for d.
func Hold(d time.Duration) { <-time.After(d) }

// Poll waits until holds returns true; what names the condition in the error.
func Poll(what string, holds func() bool) error {
	for deadline := time.Now().Add(Limit); !holds(); Hold(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", Limit, what)
		}
	}
	return nil
}

// AwaitClosed waits until a channel is closed or has a value.
func AwaitClosed(c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-time.After(Limit):
		return fmt.Errorf("not within %s: %s", Limit, what)
	}
}

// VerifyMain runs the tests of a laboratory and checks that no goroutine except the spawner is
// left.
func VerifyMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/amends-dev/amends/internal/lab/world.spawner"))
}
