package coordinator

import (
	"context"
	"fmt"
	"time"
)

// Bounds of retention's work. It shares the store with sagas that are under way,
// and they come first: what ended long ago can wait, so it goes in small pieces
// with rests between them.
const (
	// expireEvery is how often retention looks.
	expireEvery = 10 * time.Second
	// expireSlice bounds the sagas that are forgotten in one transaction, which the
	// next commit of sagas under way may have to wait for.
	expireSlice = 20
	// After each slice retention rests expireRest times as long as it took: it has
	// a tenth of the store's time. When it has been behind for expireBehind, more
	// ends than that lets it forget: then it has half.
	expireRest       = 9
	expireRestBehind = 1
	expireBehind     = time.Hour
	// expirePause is the shortest rest.
	expirePause = time.Millisecond
)

// expire keeps retention: ended sagas become tombstones, old tombstones go.
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

// expireAll forgets everything that has come due.
func (c *Coordinator) expireAll(ctx context.Context) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	<-rest.C
	for behind := time.Now(); ; {
		began, now := time.Now(), c.config.Clock()
		if left, _, _ := c.timing.holds(); left > 0 { // after the clock was read: it may be set in between
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

// restAfter is how long retention rests after a slice, by how long that took and
// how long it has not caught up.
func restAfter(took, behind time.Duration) time.Duration {
	if behind < expireBehind {
		return max(expirePause, expireRest*took)
	}
	return max(expirePause, expireRestBehind*took)
}
