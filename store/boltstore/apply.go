package boltstore

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
)

// group is a write transaction in progress.
type group struct {
	s       *Store
	tx      *bolt.Tx
	opened  []handle
	tallies map[tally]int              // changes to the counts
	swept   [][]byte                   // keys in tableOwed that heads no longer refer to
	owing   map[outbox.Destination]int // changes to the counts that Destinations returns
	settled []outbox.ID                // records that Discard marked and this group removes from their heads
}

func (s *Store) newGroup(tx *bolt.Tx) *group {
	return &group{s: s, tx: tx, opened: make([]handle, 0, len(tables)), tallies: map[tally]int{}, owing: map[outbox.Destination]int{}}
}

// handle holds a table's bucket and cursor within a transaction. The cursor is reused, because a
// new cursor allocates memory for each level of the tree.
type handle struct {
	table  string
	bucket *bolt.Bucket
	cursor *bolt.Cursor
}

func (g *group) open(t table) handle {
	for _, h := range g.opened {
		if h.table == t.name {
			return h
		}
	}
	b := t.bucket(g.tx)
	b.FillPercent = t.fill
	h := handle{table: t.name, bucket: b, cursor: b.Cursor()}
	g.opened = append(g.opened, h)
	return h
}

func (g *group) bucket(t table) *bolt.Bucket { return g.open(t).bucket }

func (g *group) get(t table, key []byte) ([]byte, error) { return t.get(g.open(t).cursor, key) }
func (g *group) find(t table, key []byte) (body []byte, sealed bool, err error) {
	return t.find(g.open(t).cursor, key)
}
func (g *group) put(t table, key, body []byte) error { return t.put(g.bucket(t), key, body) }
func (g *group) putAs(format byte, t table, key, body []byte) error {
	return t.putAs(format, g.bucket(t), key, body)
}
func (g *group) putFrame(format byte, t table, key, v []byte) error {
	return t.putFrame(format, g.bucket(t), key, v)
}
func (g *group) delete(t table, key []byte) error { return t.delete(g.open(t).cursor, key) }

// apply adds one change to the transaction. After a fatalError the transaction must be abandoned.
// Any other error concerns only this change, and nothing of the change was written.
func (g *group) apply(p *prepared) error {
	old, err := g.current(p)
	if err != nil {
		return err
	}
	seq, err := g.bucket(tableJournal).NextSequence()
	if err != nil {
		return fatalError{err}
	}
	h := p.head
	keys := g.s.options.Keys
	if old != nil && old.birthSum != h.birthSum {
		b, err := g.s.loadBirth(g.tx, p.id, old)
		if err != nil {
			return of(p.id, err)
		}
		p.start = b.digest
	}
	record := p.chain(keys, &h, old, seq)
	if old != nil && old.birth != h.birth {
		if err := g.detach(p.id, old); err != nil {
			return err
		}
	}
	p.place(keys, &h, old, seq)
	g.owe(p, &h, old, seq)
	if err := g.putFrame(frameFormatOf(keys), tableJournal, sequenceKey(seq), record.append(newFrame(record.size()))); err != nil {
		return err
	}
	if err := g.reindex(p.id, old, &h); err != nil {
		return err
	}
	if err := g.putHead(keys != nil, p.id, &h, p.slim); err != nil {
		return err
	}
	for i, o := range p.owe {
		if err := g.putFrame(frameFormatOf(keys), tableOwed, owedKey(o.to, seq, i), o.frame); err != nil {
			return err
		}
		g.owing[o.to]++
	}
	return g.settleOthers(p)
}

// settleOthers discards the outbox records that a change lists in Discard and that belong to other
// sagas.
func (g *group) settleOthers(p *prepared) error {
	for _, id := range p.settle {
		if id.Saga != p.id {
			if err := g.settle(id.Saga, []outbox.ID{id}); isFatal(err) {
				return err
			} else if err != nil {
				g.s.report(of(id.Saga, err))
			}
		}
	}
	return nil
}

// current returns the saga's current head, or nil if the saga does not exist. It returns an error
// if the change must be refused.
func (g *group) current(p *prepared) (*head, error) {
	body, sealed, err := g.find(tableSagas, []byte(p.id))
	if err != nil || body == nil { // only a removed saga has a tombstone
		stone, sealed, wrong := g.find(tableTombstones, []byte(p.id))
		switch {
		case wrong == nil && stone != nil:
			return nil, g.s.entombed(p.id, stone, sealed)
		case err != nil:
			return nil, of(p.id, err)
		case wrong != nil:
			return nil, of(p.id, wrong)
		}
	}
	var old *head
	actual := uint64(0)
	if body != nil {
		h, _, err := g.s.openHead(p.id, body, sealed)
		if err != nil {
			return nil, err
		}
		old, actual = &h, h.revision
	}
	if actual != p.expected || old != nil && old.born() != p.head.born() {
		return nil, &store.ConflictError{Saga: p.id, Expected: p.expected, Actual: actual}
	}
	return old, nil
}

// entombed returns the error for a saga that has a tombstone.
func (s *Store) entombed(id contract.SagaID, stored []byte, sealed bool) error {
	t, err := s.openTombstone(id, stored, sealed)
	if err != nil {
		return err
	}
	return t
}

// openTombstone decodes a record of tableTombstones.
func (s *Store) openTombstone(id contract.SagaID, stored []byte, sealed bool) (*store.TombstoneError, error) {
	body, err := openPart(s.options.Keys, sealed, "tombstone", string(id), 0, stored)
	if err != nil {
		return nil, tableTombstones.corrupt([]byte(id), err.Error())
	}
	t, err := parseTombstone(id, body)
	if err != nil {
		return nil, tableTombstones.corrupt([]byte(id), err.Error())
	}
	return t, nil
}

// chain links the change to the saga's previous changes, in the head and in the journal record.
func (p *prepared) chain(keys *seal.Keys, h, old *head, seq uint64) *entry {
	e := &entry{saga: p.id, first: p.expected + 1, events: p.events, began: p.began}
	if old == nil {
		old = &head{}
	}
	e.prev, e.skip, e.skipRevision = old.last, old.skip, old.skipRevision
	h.changes, h.last = old.changes+1, seq
	h.skip, h.skipRevision = old.skip, old.skipRevision
	if old.changes%skipEvery == 0 {
		h.skip, h.skipRevision = seq, e.first
	}
	h.birth = old.birth
	if old.changes == 0 || old.birthSum != h.birthSum {
		h.birth, e.birth = seq, sealPart(keys, "birth", string(p.id), 0, withDigest(p.start, p.birth))
	}
	return e
}

// reindex replaces the saga's index, timer and expiry keys of the old head with keys of the new
// head. Either head may be nil.
func (g *group) reindex(id contract.SagaID, old, now *head) error {
	if err := g.relist(id, old, now); err != nil {
		return err
	}
	keyOf := func(prefix string, h *head, at func(*head) int64) []byte {
		if h == nil || at(h) == 0 {
			return nil
		}
		return timeKey(prefix, at(h), id)
	}
	if now != nil {
		now.timer = now.wake
		if old != nil && old.comesInTime(now) {
			now.timer = old.timer
		}
	}
	timer := func(h *head) int64 { return h.timer }
	if err := g.move(tableTimers, keyOf("", old, timer), keyOf("", now, timer)); err != nil {
		return err
	}
	ended := func(h *head) int64 { return h.ended }
	prefix := string(rune(expirySaga))
	return g.move(tableExpiry, keyOf(prefix, old, ended), keyOf(prefix, now, ended))
}

// comesInTime reports whether a saga may keep its key in timers although its timer was postponed.
// Due replaces the key when the key comes due, but by then most sagas have ended. If the time until
// the timer at least doubled, the timer gets a new key at once.
func (h *head) comesInTime(now *head) bool {
	return h.timer != 0 && h.timer < now.wake && h.timer-now.updated > (now.wake-now.updated)/2
}

// relist updates the index and the counts.
func (g *group) relist(id contract.SagaID, old, now *head) error {
	if old != nil && now != nil && old.tally() == now.tally() && old.started == now.started {
		return nil
	}
	if old != nil {
		g.tallies[old.tally()]--
		if err := g.delete(tableIndex, indexKey(old.class, old.started, id)); err != nil {
			return err
		}
	}
	if now == nil {
		return nil
	}
	g.tallies[now.tally()]++
	body := appendBytes(binary.AppendUvarint(nil, uint64(now.ref.Version)), []byte(now.ref.Name))
	return g.put(tableIndex, indexKey(now.class, now.started, id), body)
}

// move deletes the key in from and puts the key in to, with an empty value. It skips a nil key.
func (g *group) move(t table, from, to []byte) error {
	if bytes.Equal(from, to) {
		return nil
	}
	if from != nil {
		if err := g.delete(t, from); err != nil {
			return err
		}
	}
	if to == nil {
		return nil
	}
	return g.put(t, to, nil)
}

// sweep deletes outbox records that no head refers to.
func (g *group) sweep(places [][]byte) error {
	for _, place := range places {
		there, err := tableOwed.deleteIf(g.open(tableOwed).cursor, place)
		if err != nil {
			return err
		}
		if to, _ := parseOwedKey(place); there {
			g.owing[to]--
		}
	}
	return nil
}

// countUp writes the counts that the group changed and returns their new values.
func (g *group) countUp() (map[tally]int, error) {
	next := map[tally]int{}
	for t, n := range g.tallies {
		if n == 0 {
			continue
		}
		g.s.mu.Lock()
		next[t] = g.s.counts[t] + n
		g.s.mu.Unlock()
		if next[t] == 0 {
			if err := g.delete(tableCounts, t.key()); err != nil {
				return nil, err
			}
			continue
		}
		if err := g.put(tableCounts, t.key(), binary.AppendUvarint(nil, uint64(next[t]))); err != nil {
			return nil, err
		}
	}
	return next, nil
}
