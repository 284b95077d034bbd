//go:build linux && lab

package world

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Limit bounds everything that is waited for. It is generous: the machine may be busy with other
// things. How long it took is reported.
const Limit = 60 * time.Second

// Hold lets something last.
func Hold(d time.Duration) { <-time.After(d) }

// Poll asks until something holds, which what names.
func Poll(what string, holds func() bool) error {
	for deadline := time.Now().Add(Limit); !holds(); Hold(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", Limit, what)
		}
	}
	return nil
}

// AwaitClosed waits until a channel is closed, or has something.
func AwaitClosed(c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-time.After(Limit):
		return fmt.Errorf("not within %s: %s", Limit, what)
	}
}

// VerifyMain runs the tests of a laboratory and checks that no goroutine is left but the spawner.
func VerifyMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/amends-dev/amends/internal/lab/world.spawner"))
}
