package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
)

// request is the work that one caller gives the committer.
type request struct {
	changes []*prepared // an entry is nil if its change was already refused
	results []error
	work    func(*group) error // any other items; if set, changes is empty
	size    int                // of the changes, in bytes
	err     error              // the error of work or of the store
	done    chan struct{}
}

// Commit implements store.Store. Calls that arrive while a record is being written share the next one.
func (s *Store) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	r := &request{changes: make([]*prepared, len(changes)), results: make([]error, len(changes)), done: make(chan struct{})}
	for i := range changes {
		if r.changes[i], r.results[i] = prepare(s.options.Keys, &changes[i]); r.results[i] == nil {
			r.size += int(sizeOf(r.changes[i].item))
		}
	}
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.results, nil
}

// write lets work add items to the committer's next record.
func (s *Store) write(ctx context.Context, work func(*group) error) error {
	if err := s.usable(ctx); err != nil {
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

// commitLoop runs in the only goroutine that appends to the log. It takes requests from the queue,
// commits them and answers them until Close; then it commits the remaining requests.
func (s *Store) commitLoop() {
	defer close(s.stopped)
	for {
		select {
		case r := <-s.requests:
			s.commit(s.gather(r))
		case <-s.hasDiscards:
			s.commitDiscards()
		case <-s.closing:
			for {
				select {
				case r := <-s.requests:
					s.commit(s.gather(r))
				default:
					s.commit(nil)
					return
				}
			}
		}
	}
}

// commitDiscards gives other requests a second to take the discards along.
func (s *Store) commitDiscards() {
	wait := time.NewTimer(discardDelay)
	defer wait.Stop()
	for {
		select {
		case r := <-s.requests:
			s.commit(s.gather(r))
			return
		case <-wait.C:
			s.commit(nil)
			return
		case <-s.closing:
			return // commitLoop commits what is left
		}
	}
}

// gather returns first and the requests that are already queued, up to MaxGroup changes and
// maxGroupBytes. It does not wait for more.
func (s *Store) gather(first *request) []*request {
	requests, changes, size := []*request{first}, len(first.changes), first.size
	for changes < s.options.MaxGroup && size < maxGroupBytes {
		select {
		case r := <-s.requests:
			requests, changes, size = append(requests, r), changes+max(len(r.changes), 1), size+r.size
		default:
			return requests
		}
	}
	return requests
}

// commit writes one record and answers its callers. Without requests, it writes the discards.
func (s *Store) commit(requests []*request) {
	err := s.failure()
	if err == nil {
		err = s.awaitRoom()
	}
	if err == nil {
		err = s.record(requests)
	}
	for _, r := range requests {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// record decides requests, appends what was accepted to the log, and applies it.
func (s *Store) record(requests []*request) (err error) {
	began := time.Now()
	g := &group{s: s, drafts: map[contract.SagaID]*head{}, entered: map[contract.SagaID]*saga{}, entries: map[string][]byte{}}
	g.discarded = s.takeDiscards()
	if err := boltfile.Guard(func() error { return g.decideAll(requests) }); err != nil {
		return s.breakDown(err)
	}
	if len(g.items) == 0 {
		s.forgetDiscards(g.discarded)
		s.counters.measure(requests, 0, 0)
		return nil
	}
	items := &amendsv1.LogItems{First: s.item + 1, Items: g.items}
	body, err := s.encode(items)
	if err != nil {
		return s.breakDown(err)
	}
	crashpoint.Here(crashpoint.BeforeCommit)
	s.options.step("decided")
	mark, err := s.append(body)
	if err != nil {
		return err
	}
	crashpoint.Here(crashpoint.AfterCommit)
	s.options.step("appended")
	s.mu.Lock()
	s.apply(items, g.entered)
	s.mark, s.logged = mark, s.logged+int64(len(body))
	if s.oldest.IsZero() {
		s.oldest = began
	}
	s.mu.Unlock()
	s.forgetDiscards(g.discarded)
	s.counters.measure(requests, len(body), time.Since(began))
	s.wakeCheckpoint()
	return nil
}

// append appends a record to the log. If the disk is full, it waits for room, because the changes are
// decided and their callers wait; Close ends the wait.
func (s *Store) append(body []byte) (log.Mark, error) {
	if s.failAppend != nil {
		if err := s.failAppend(); err != nil {
			return log.Mark{}, s.breakDown(err)
		}
	}
	defer s.setWaiting(NotWaiting, nil)
	for {
		mark, err := s.log.Append(body)
		switch {
		case err == nil:
			return mark, nil
		case !errors.Is(err, log.ErrFull):
			return mark, s.breakDown(err)
		}
		s.setWaiting(WaitingLogFull, err)
		signal(s.large) // a checkpoint releases segments
		select {
		case <-s.closing:
			return mark, store.ErrClosed
		case <-time.After(fullRetry):
		}
		if err := s.failure(); err != nil { // no checkpoint will release segments
			return mark, err
		}
	}
}

// group is a record in the making. The verdict on a change counts the items before it.
type group struct {
	s       *Store
	items   []*amendsv1.LogItem
	drafts  map[contract.SagaID]*head // of the sagas that the record names, after the items
	entered map[contract.SagaID]*saga

	discarded []outbox.ID       // given to Discard before this record
	entries   map[string][]byte // that the items set
}

// add adds the new version of a saga.
func (g *group) add(item *amendsv1.LogItem) {
	g.items = append(g.items, item)
	if item.Entry == nil {
		g.drafts[contract.SagaID(item.Saga)] = item.Head
	}
}

// next returns the number of the next item.
func (g *group) next() uint64 { return g.s.item + uint64(len(g.items)) + 1 }

// decideAll adds the items of the requests. Its error is one of the store.
func (g *group) decideAll(requests []*request) error {
	if err := g.discard(g.discarded); err != nil {
		return err
	}
	for _, r := range requests {
		if r.work != nil {
			if r.err = r.work(g); errors.Is(r.err, errStructure) {
				return r.err
			}
		}
		for i, p := range r.changes {
			if p == nil {
				continue
			}
			if r.results[i] = g.decide(p); errors.Is(r.results[i], errStructure) {
				return r.results[i]
			}
		}
	}
	return nil
}

// errStructure is the error of a store whose file cannot be read at all.
var errStructure = errors.New("the state cannot be read")

// enter returns the head of a saga after the items, for a verdict. It returns a *store.CorruptError if the
// saga is damaged, perhaps with its head.
func (g *group) enter(id contract.SagaID) (*head, error) {
	if h, known := g.drafts[id]; known {
		return h, nil
	}
	o, err := g.s.current(id)
	if err != nil {
		return nil, errors.Join(errStructure, err)
	}
	g.entered[id] = o
	if o.damage != nil {
		g.s.counters.damage(o.damage)
		return nil, o.damage
	}
	if err := distrusted(id, o.head()); err != nil {
		g.s.counters.damage(err)
		return o.head(), err
	}
	g.drafts[id] = o.head()
	return o.head(), nil
}

// current returns a saga as it is now, even if it is damaged. It needs no window: only its callers, the
// committer and replay, add to the overlay, so what is not there now is in bbolt, and stays as it is.
func (s *Store) current(id contract.SagaID) (*saga, error) {
	s.mu.RLock()
	o, known := s.overlay.sagas.Get(id)
	s.mu.RUnlock()
	if known {
		return o, nil
	}
	o = &saga{id: id}
	err := s.read(func(tx *bolt.Tx) error {
		o.stored, o.damage = readHead(tx, id)
		if errors.Is(o.damage, store.ErrCorrupt) {
			return nil
		}
		return o.damage
	})
	return o, err
}

// decide adds the items of a change, or returns why it is refused.
func (g *group) decide(p *prepared) error {
	id := contract.SagaID(p.item.Saga)
	old, err := g.enter(id)
	if err == nil {
		err = g.refuse(id, old, p)
	}
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(p.change.Discard), func(m outbox.ID) bool { return m.Saga == id })
	if err := g.discard(others); err != nil {
		return err
	}
	g.add(p.follow(old, g.next()))
	return nil
}

// follow completes the item of a change that follows old, and is item n.
func (p *prepared) follow(old *head, n uint64) *amendsv1.LogItem {
	item, to := p.item, p.item.Head
	item.Fresh = old == nil
	for _, m := range p.pending {
		m.Item = n
	}
	to.Pending = p.pending
	if old != nil {
		to.StartedUnixNano, to.Data = old.StartedUnixNano, slices.Clip(old.Data)
		to.Pending = slices.Concat(old.Pending, p.pending)
	}
	of := ownerOf(contract.SagaID(item.Saga), to)
	to.Pending = without(to.Pending, of, p.change.Discard)
	item.Data = slices.DeleteFunc(item.Data, func(d *amendsv1.LogData) bool {
		return slices.ContainsFunc(to.Data, func(name []byte) bool { return string(name) == string(d.Name) })
	})
	for _, d := range item.Data {
		to.Data = append(to.Data, d.Name)
	}
	return item
}

// refuse returns the error of a change that does not follow a head.
func (g *group) refuse(id contract.SagaID, old *head, p *prepared) error {
	expected := p.change.Expected
	switch {
	case removed(old):
		t, err := g.s.tombstone(id, old)
		if err != nil {
			return withSaga(id, err)
		}
		return t
	case old.GetRevision() != expected || old != nil && ownerOf(id, old) != ownerOf(id, p.item.Head):
		return &store.ConflictError{Saga: id, Expected: expected, Actual: old.GetRevision()}
	case old != nil && !sameStart(old, p.item.Head):
		return fmt.Errorf("%w of saga %s: its definition or its input is not that of the saga's first change", store.ErrInvalid, id)
	case expected == 0 && g.s.starved() != nil:
		return store.ErrFull
	}
	return nil
}

// sameStart reports whether two heads are of a saga with the same definition and input. If the input differed,
// data that is stored as equal to it would be read as something else.
func sameStart(a, b *head) bool {
	return protoconv.FromRef(a.Definition) == protoconv.FromRef(b.Definition) && a.InputSize == b.InputSize && a.InputSum == b.InputSum
}

// discard adds an item for each saga of which some of the messages are pending. It skips and reports
// damaged sagas.
func (g *group) discard(ids []outbox.ID) error {
	bySaga := map[contract.SagaID][]outbox.ID{}
	for _, id := range ids {
		bySaga[id.Saga] = append(bySaga[id.Saga], id)
	}
	for id, ids := range bySaga {
		h, err := g.enter(id)
		if errors.Is(err, store.ErrCorrupt) {
			g.s.report(err)
			continue
		}
		if err != nil {
			return err
		}
		if pending := without(h.GetPending(), ownerOf(id, h), ids); len(pending) < len(h.GetPending()) {
			g.add(&amendsv1.LogItem{Saga: string(id), Head: &amendsv1.SagaHead{
				Revision: h.Revision, Class: h.Class, StartedUnixNano: h.StartedUnixNano, WakeUnixNano: h.WakeUnixNano,
				EndedUnixNano: h.EndedUnixNano, Definition: h.Definition, Pending: pending, Data: h.Data,
				InputSize: h.InputSize, InputSum: h.InputSum,
			}})
		}
	}
	return nil
}
