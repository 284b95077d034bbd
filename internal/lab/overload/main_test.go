//go:build linux && lab

package overload

import (
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	overloadMinutes = flag.Float64("overload.minutes", 0, "how long ten times too much is offered, and each trouble under it lasts; 0: the short form, some seconds")
	soakMinutes     = flag.Float64("overload.soak", 0, "how long the soak takes; 0: the short form, some seconds")
	soakEvery       = flag.Duration("overload.every", 10*time.Second, "a fault this often in a long soak")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is the longest that a test waits for something that must happen.
const limit = 60 * time.Second

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); pause(t.Context(), 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// atMost fails the test if got exceeds bound.
func atMost(t *testing.T, what string, got, bound float64) {
	t.Helper()
	if got > bound {
		t.Errorf("%s is %.1f, at most %.1f", what, got, bound)
	}
}

// atLeast fails the test if got is below bound.
func atLeast(t *testing.T, what string, got, bound float64) {
	t.Helper()
	if got < bound {
		t.Errorf("%s is %.1f, at least %.1f", what, got, bound)
	}
}
