package coordinator

import (
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Stats is what a coordinator knows about itself.
type Stats struct {
	Sagas          []store.Count          // by definition, version and phase
	Open           int                    // sagas that have not ended
	Blocked        int                    // sagas that were met, since the start, and could not be moved: their record is damaged, or their definition is gone; at most MaxBlocked
	Standstills    []transport.Standstill // what does not move although it should
	OutboxBacklog  int                    // messages that the bus has not accepted
	OutboxOldest   time.Duration          // how long the first of them has waited
	CacheHits      uint64                 // since the start
	CacheMisses    uint64
	WaitingInputs  int // inputs in the shards' inboxes, or set aside until a mapping is evaluated
	WaitingCallers int // open wait requests
}

// Stats gathers the figures; the counts by definition come from the store.
func (c *Coordinator) Stats(ctx context.Context) (Stats, error) {
	counts, err := c.config.Store.Counts(ctx)
	if err != nil {
		return Stats{}, err
	}
	relay := c.relay.Stats()
	s := Stats{
		Sagas: counts, Open: c.projection.Open(), Blocked: c.projection.BlockedCount(),
		OutboxBacklog: relay.Backlog + relay.UnderWay, OutboxOldest: relay.Oldest,
		Standstills: c.Standstills(),
		CacheHits:   c.cacheHits.Load(), CacheMisses: c.cacheMisses.Load(),
		WaitingCallers: c.projection.Waiting(),
	}
	for _, shard := range c.shards {
		s.WaitingInputs += shard.inbox.len() + int(shard.waits.Load())
	}
	return s, nil
}

// pausedBudget bounds how long one overview goes on looking for paused sagas that
// were paused before the coordinator started.
const pausedBudget = 100 * time.Millisecond

// paused is how many sagas are paused; -1: not all have been looked at yet.
func (c *Coordinator) paused(ctx context.Context) (int, error) {
	for began := time.Now(); time.Since(began) <= pausedBudget; {
		read, err := c.projection.SearchPaused(func(cursor string) (ids []contract.SagaID, next string, err error) {
			page, next, err := c.config.Store.List(ctx, store.Filter{Paused: true, OpenOnly: true}, store.Page{Limit: store.MaxPage, Cursor: cursor})
			for i := range page {
				ids = append(ids, page[i].ID)
			}
			return ids, next, err
		})
		if err != nil {
			return -1, err
		}
		if !read {
			break
		}
	}
	if n, all := c.projection.Paused(); all {
		return n, nil
	}
	return -1, nil
}

// loadTime bounds how long a request waits for the bus to tell what lies on it.
const loadTime = 3 * time.Second

// load asks the bus what lies on it; errNoLoad: it cannot tell.
func (c *Coordinator) load(ctx context.Context) (transport.Load, error) {
	scale, ok := c.config.Bus.(transport.Scale)
	if !ok {
		return transport.Load{}, errNoLoad
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	return scale.Load(ctx)
}

// cacheStats are an engine's figures; read by its own goroutine only.
type cacheStats struct{ hits, misses uint64 }

func (e *Engine) stats() cacheStats { return cacheStats{e.hits, e.misses} }
