//go:build linux

package overload

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	overloadMinutes = flag.Float64("overload.minutes", 0, "how long ten times too much is offered; 0: the short form, some seconds")
	soakMinutes     = flag.Float64("overload.soak", 0, "how long the soak takes; 0: the short form, some seconds")
	soakEvery       = flag.Duration("overload.every", 10*time.Second, "a fault this often in a long soak")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for anything that has to happen.
const limit = 2 * time.Minute

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

// atMost fails unless a figure stays within its bound.
func atMost(t *testing.T, what string, got, bound float64) {
	t.Helper()
	if got > bound {
		t.Errorf("%s is %.1f, at most %.1f", what, got, bound)
	}
}

// atLeast fails unless a figure reaches its bound.
func atLeast(t *testing.T, what string, got, bound float64) {
	t.Helper()
	if got < bound {
		t.Errorf("%s is %.1f, at least %.1f", what, got, bound)
	}
}

// tries is how often a test may miss bounds on speed. Others share the machine, and
// come and go between two measurements of which one is held against the other; what
// is slow on account of the code is slow every time. Nothing else is forgiven: a
// saga that is lost, or memory that grows, fails the test at once.
const tries = 3

// speed gathers the bounds on speed that were missed.
type speed struct{ missed []string }

// timed runs a test with bounds on speed, on a new system for each try.
func timed(t *testing.T, once func(t *testing.T, v *speed)) {
	t.Helper()
	for try := 1; ; try++ {
		var v speed
		t.Run(fmt.Sprintf("try-%d", try), func(t *testing.T) { once(t, &v) })
		switch {
		case t.Failed() || len(v.missed) == 0:
			return
		case try == tries:
			t.Errorf("in %d tries; the last missed: %s", tries, strings.Join(v.missed, "; "))
			return
		}
		t.Logf("try %d missed: %s", try, strings.Join(v.missed, "; "))
	}
}

func (v *speed) atMost(what string, got, bound float64) {
	if got > bound {
		v.missed = append(v.missed, fmt.Sprintf("%s is %.1f, at most %.1f", what, got, bound))
	}
}

func (v *speed) atLeast(what string, got, bound float64) {
	if got < bound {
		v.missed = append(v.missed, fmt.Sprintf("%s is %.1f, at least %.1f", what, got, bound))
	}
}
