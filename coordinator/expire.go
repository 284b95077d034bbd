package coordinator

import (
	"context"
	"fmt"
	"time"
)

// Bounds of retention. It shares the store with active sagas, which have priority, so it works in
// small slices with rests between them.
const (
	// expireEvery is how often retention looks.
	expireEvery = 10 * time.Second
	// expireSlice bounds the sagas removed in one transaction, because the next commit of active
	// sagas may have to wait for it.
	expireSlice = 20
	// After each slice retention rests expireRest times as long as the slice took, so it uses a
	// tenth of the store's time. Once it has been behind for expireBehind, more sagas end than it
	// can remove at that rate, and it uses half.
	expireRest       = 9
	expireRestBehind = 1
	expireBehind     = time.Hour
	// expirePause is the shortest rest.
	expirePause = time.Millisecond
)

// expire runs retention: ended sagas become tombstones, old tombstones are removed.
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
		if left, _, _ := c.timing.holds(); left > 0 { // after reading the clock, which may be set in between
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

// restAfter returns how long retention rests after a slice that took so long, depending on how
// long it has been behind.
func restAfter(took, behind time.Duration) time.Duration {
	if behind < expireBehind {
		return max(expirePause, expireRest*took)
	}
	return max(expirePause, expireRestBehind*took)
}
