package coordinator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/store"
)

// backlog is a store in which all sagas have ended and are due for removal. Removing a slice of
// them takes some time.
type backlog struct {
	store.Store
	left, largest int
	takes         time.Duration
	worked        time.Duration
}

func (b *backlog) Expire(_ context.Context, _, _ time.Time, limit int) (removed, dropped int, err error) {
	n := min(limit, b.left)
	b.left -= n
	b.largest = max(b.largest, n)
	b.worked += b.takes
	time.Sleep(b.takes)
	return n, 0, nil
}

// Retention has low priority: it works in small slices, pauses in between to leave the store to
// active sagas, and still finishes.
func TestRetentionRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slices = 50
		b := &backlog{left: slices * expireSlice, takes: 3 * time.Millisecond}
		c := &Coordinator{config: Config{Store: b, Clock: time.Now}, timing: &timing{clock: &clock{}}}
		began := time.Now()
		if err := c.expireAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if b.left != 0 || b.largest > expireSlice {
			t.Errorf("%d are left, %d were forgotten at once; want 0, and at most %d", b.left, b.largest, expireSlice)
		}
		if part := b.worked.Seconds() / took.Seconds(); part > 0.11 {
			t.Errorf("retention had %.2f of the store's time, at most a tenth is its share", part)
		}
	})
}

// If a tenth of the time was not enough for an hour, retention uses half of the time.
func TestRetentionBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = time.Second
		late := 3600 // slices that retention removes in two hours when it uses half of the time
		b := &backlog{left: late * expireSlice, takes: takes}
		c := &Coordinator{config: Config{Store: b, Clock: time.Now}, timing: &timing{clock: &clock{}}}
		began := time.Now()
		if err := c.expireAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Retention removes 360 slices in the first hour, and then one every two seconds.
		if took, most := time.Since(began), 3*time.Hour; took > most || took < 2*time.Hour {
			t.Errorf("forgetting what is behind took %s, want between 2h and %s of virtual time", took, most)
		}
	})
}
