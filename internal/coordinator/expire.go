package coordinator

import (
	"context"
	"fmt"
	"time"
)

// Limits of retention. Retention shares the store with active sagas, which have priority. It
// therefore works in small slices with pauses between them.
const (
	// expireEvery is the interval at which retention looks for sagas to remove.
	expireEvery = 10 * time.Second
	// expireSlice bounds the sagas removed in one transaction, because the next commit of active
	// sagas may have to wait for that transaction.
	expireSlice = 20
	// After each slice retention pauses for expireRest times the duration of the slice, so it uses a
	// tenth of the store's time. If retention has been behind for expireBehind, sagas end faster than
	// it removes them; it then pauses for expireRestBehind times the duration of the slice, and uses
	// half of the time.
	expireRest       = 9
	expireRestBehind = 1
	expireBehind     = time.Hour
	// expirePause is the shortest pause.
	expirePause = time.Millisecond
)

// expire runs retention: it replaces ended sagas with tombstones, and removes old tombstones.
func (c *Coordinator) expire(ctx context.Context) error {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := c.expireAll(ctx); err != nil {
			return err
		}
	}
}

// expireAll removes everything that is due.
func (c *Coordinator) expireAll(ctx context.Context) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	<-rest.C
	for behind := time.Now(); ; {
		began, now := time.Now(), c.config.Clock()
		if left, _, _ := c.timing.holds(); left > 0 { // read after the clock, which may be set in between
			return nil
		}
		removed, dropped, err := c.config.Store.Expire(ctx, now.Add(-c.config.Retention), now.Add(-c.config.TombstoneRetention), expireSlice)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("expire ended sagas: %w", err)
		}
		if removed < expireSlice && dropped < expireSlice {
			return nil
		}
		rest.Reset(restAfter(time.Since(began), time.Since(behind)))
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
	}
}

// restAfter returns how long retention pauses after a slice. It depends on how long the slice took,
// and on how long retention has been behind.
func restAfter(took, behind time.Duration) time.Duration {
	if behind < expireBehind {
		return max(expirePause, expireRest*took)
	}
	return max(expirePause, expireRestBehind*took)
}
