package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/store"
)

// request is the work that one caller gives the committer.
type request struct {
	changes []*prepared // an entry is nil if its change was already refused
	results []error
	work    func(*group) error // any other write; if set, changes is empty
	err     error              // the error of work or of the store
	done    chan struct{}
}

// Commit implements store.Store. Calls that arrive while a transaction is being written share the
// next one.
func (s *Store) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	r := &request{
		changes: make([]*prepared, len(changes)),
		results: make([]error, len(changes)),
		done:    make(chan struct{}),
	}
	for i := range changes {
		r.changes[i], r.results[i] = prepare(s.options.Keys, &changes[i])
	}
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.results, nil
}

// write runs work in the committer's next transaction.
func (s *Store) write(ctx context.Context, work func(*group) error) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	return s.submit(ctx, &request{work: work, done: make(chan struct{})})
}

// submit sends a request to the committer and waits for the result. ctx bounds only the wait for a
// slot in the queue: once the request is queued, the caller must learn its outcome.
func (s *Store) submit(ctx context.Context, r *request) error {
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return store.ErrClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-s.stopped:
	}
	select {
	case <-r.done: // the committer answered while it stopped
		return r.err
	default:
		return store.ErrClosed
	}
}

// commitLoop runs in the only goroutine that writes. It takes requests from the queue, commits them
// and answers them until Close; then it commits the remaining requests.
func (s *Store) commitLoop() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true)
	for {
		select {
		case r := <-s.requests:
			s.commit(s.gather(r))
		case <-s.closing:
			for {
				select {
				case r := <-s.requests:
					s.commit(s.gather(r))
				default:
					s.lastCommit()
					return
				}
			}
		}
	}
}

// gather returns first and all requests that are already queued, up to MaxGroup changes. It does
// not wait for more.
func (s *Store) gather(first *request) []*request {
	requests, changes := []*request{first}, len(first.changes)
	for changes < s.options.MaxGroup {
		select {
		case r := <-s.requests:
			requests, changes = append(requests, r), changes+len(r.changes)
		default:
			return requests
		}
	}
	return requests
}

// lastCommit writes pending discards and deletes the outbox records that can be swept.
func (s *Store) lastCommit() {
	s.mu.Lock()
	idle := s.broken != nil || len(s.unsettle) == 0 && len(s.swept) == 0
	s.mu.Unlock()
	if idle {
		return
	}
	flush := &request{done: make(chan struct{}), work: func(g *group) error {
		return g.settleAll()
	}}
	s.commit([]*request{flush})
}

// commit writes one group and answers its callers.
func (s *Store) commit(requests []*request) {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err == nil {
		if err = s.transact(requests); err != nil {
			err = s.breakDown(err)
		}
	}
	for _, r := range requests {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// transact applies a group in one transaction. After an error it is unknown whether anything was
// committed, and the database must no longer be used, because a failed fsync cannot be repeated.
func (s *Store) transact(requests []*request) (err error) {
	start := time.Now()
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the database file is damaged: %v: restore a backup", p)
		}
		if err != nil && errors.Is(guard(tx.Rollback), store.ErrCorrupt) {
			s.stuck = true
		}
	}()
	g := s.newGroup(tx)
	if err := s.applyAll(g, requests); err != nil {
		return err
	}
	next, err := g.countUp()
	if err != nil {
		return err
	}
	crashpoint.Here(crashpoint.BeforeCommit)
	if s.failCommit != nil {
		if err := s.failCommit(); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	crashpoint.Here(crashpoint.AfterCommit)
	s.committed(g, next)
	s.measure(tx, requests, time.Since(start))
	return nil
}

// applyAll applies the requests. If many discards are pending or many outbox records can be swept,
// it also applies the discards and sweeps the records.
func (s *Store) applyAll(g *group, requests []*request) error {
	for _, r := range requests {
		if r.work != nil {
			if r.err = r.work(g); isFatal(r.err) {
				return r.err
			}
		}
		for i, p := range r.changes {
			if p == nil {
				continue
			}
			if r.results[i] = g.apply(p); isFatal(r.results[i]) {
				return r.results[i]
			}
		}
	}
	s.mu.Lock()
	gathered := len(s.unsettle) - len(g.settled)
	s.mu.Unlock()
	if len(s.swept)+gathered < sweepAt {
		return nil
	}
	return g.settleAll()
}

// committed updates the in-memory state with the group's effects.
func (s *Store) committed(g *group, counts map[tally]int) {
	s.swept = append(s.swept, g.swept...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, n := range counts {
		if n == 0 {
			delete(s.counts, t)
			continue
		}
		s.counts[t] = n
	}
	for _, id := range g.settled {
		delete(s.unsettle, id)
	}
	for to, n := range g.owing {
		s.owing[to] += n
	}
}

func (s *Store) measure(tx *bolt.Tx, requests []*request, took time.Duration) {
	var changes, refused, calls uint64
	for _, r := range requests {
		if r.work == nil {
			calls++
		}
		for _, err := range r.results {
			if err != nil {
				refused++
				s.counters.met(err)
			} else {
				changes++
			}
		}
	}
	c := &s.counters
	stats := tx.Stats()
	c.calls.Add(calls)
	c.changes.Add(changes)
	c.refused.Add(refused)
	c.transactions.Add(1)
	c.written.Add(uint64(stats.GetPageAlloc()) + uint64(s.db.Info().PageSize))
	c.commitNanos.Add(uint64(took))
	if changes > 0 {
		c.last.Store(changes)
		c.largest.Store(max(c.largest.Load(), changes))
	}
}
