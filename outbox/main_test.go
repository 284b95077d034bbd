package outbox_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// after returns a channel that lets virtual time pass inside a synctest bubble.
func after(t *testing.T) <-chan time.Time {
	t.Helper()
	return time.After(10 * time.Millisecond)
}
