package plural_test

import (
	"testing"

	"github.com/amends-dev/amends/internal/plural"
)

func TestOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 sagas wait", 1: "1 saga waits", 2: "2 sagas wait", -1: "-1 sagas wait", 1_000_001: "1000001 sagas wait"} {
		if got := plural.Of(n, "saga waits", "sagas wait"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
