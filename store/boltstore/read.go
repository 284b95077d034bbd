package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id contract.SagaID) (in *machine.Instance, err error) {
	err = s.view(ctx, func(tx *bolt.Tx) error {
		in, err = s.load(tx, id)
		return err
	})
	return in, err
}

// load reads a saga's state.
func (s *Store) load(tx *bolt.Tx, id contract.SagaID) (in *machine.Instance, err error) {
	defer func() { err = of(id, err) }()
	h, state, err := s.loadHead(tx, id)
	if err != nil {
		return nil, err
	}
	b, err := s.loadBirth(tx, id, &h)
	if err != nil {
		return nil, err
	}
	if state, err = openPart(s.options.Keys, h.sealed, "state", string(id), h.revision, state); err != nil {
		return nil, tableSagas.corrupt([]byte(id), err.Error())
	}
	if in, err = sagapb.UnmarshalRest(state, b.Start); err != nil {
		return nil, tableSagas.corrupt([]byte(id), err.Error())
	}
	return in, s.fillResults(tx, in, &h)
}

// of adds the saga's id to err if err is a *store.CorruptError without an id.
func of(id contract.SagaID, err error) error {
	if damage, ok := errors.AsType[*store.CorruptError](err); ok && damage.Saga == "" {
		damage.Saga = id
	}
	return err
}

// loadBirth reads a saga's birth.
func (s *Store) loadBirth(tx *bolt.Tx, id contract.SagaID, h *head) (birth, error) {
	e, err := s.loadEntry(tx, id, h.birth)
	if err != nil {
		return birth{}, err
	}
	b, began, err := s.birthOf(e)
	if err == nil && !e.sealed && !h.sealed && checksum(began) != h.birthSum { // a seal is a stronger proof than the checksum
		err = fmt.Errorf("it does not hold the start of saga %s", id)
	}
	if err != nil {
		return birth{}, tableJournal.corrupt(sequenceKey(h.birth), err.Error())
	}
	return b, nil
}

// birthOf decodes the birth in a journal record, and returns both the decoded and the encoded form.
func (s *Store) birthOf(e *entry) (b birth, began []byte, err error) {
	stored, err := openPart(s.options.Keys, e.sealed, "birth", string(e.saga), 0, e.birth)
	if err != nil {
		return birth{}, nil, err
	}
	return parseBirth(stored)
}

// eventOf decodes event i of a journal record.
func (s *Store) eventOf(e *entry, i int) (*machine.Event, error) {
	data, err := openPart(s.options.Keys, e.sealed, "event", string(e.saga), e.first+uint64(i), e.events[i])
	if err != nil {
		return nil, err
	}
	event, err := sagapb.UnmarshalEvent(data)
	if err != nil || !e.began || i > 0 {
		return event, err
	}
	b, _, err := s.birthOf(e) // the birth in this record: a later change may have replaced the saga's birth
	if err == nil {
		b.begin(event)
	}
	return event, err
}

// loadHead reads a saga's head and slim state. It returns the same errors as Load.
func (s *Store) loadHead(tx *bolt.Tx, id contract.SagaID) (head, []byte, error) {
	body, sealed, err := tableSagas.find(tableSagas.cursor(tx), []byte(id))
	if err != nil || body == nil {
		stone, sealed, wrong := tableTombstones.find(tableTombstones.cursor(tx), []byte(id))
		switch {
		case wrong == nil && stone != nil: // a neighbour's key is damaged, but this saga has a tombstone
			return head{}, nil, s.entombed(id, stone, sealed)
		case err != nil:
			return head{}, nil, of(id, err)
		case wrong != nil:
			return head{}, nil, of(id, wrong)
		}
		return head{}, nil, fmt.Errorf("saga %.128s: %w", id, store.ErrNotFound)
	}
	return s.openHead(id, body, sealed)
}

// openHead decodes a record of tableSagas.
func (s *Store) openHead(id contract.SagaID, body []byte, sealed bool) (head, []byte, error) {
	if err := checkSealed(s.options.Keys, tableSagas, []byte(id), sealed); err != nil {
		return head{}, nil, of(id, err)
	}
	h, state, err := parseHead(body)
	if err != nil {
		return head{}, nil, of(id, tableSagas.corrupt([]byte(id), err.Error()))
	}
	h.sealed = sealed
	return h, state, nil
}

// loadEntry reads a saga's journal record.
func (s *Store) loadEntry(tx *bolt.Tx, id contract.SagaID, seq uint64) (*entry, error) {
	key := sequenceKey(seq)
	body, sealed, err := tableJournal.find(tableJournal.cursor(tx), key)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, tableJournal.corrupt(key, fmt.Sprintf("it is missing, but saga %s refers to it", id))
	}
	if err := checkSealed(s.options.Keys, tableJournal, key, sealed); err != nil {
		return nil, err
	}
	e, err := parseEntry(body)
	if err != nil {
		return nil, tableJournal.corrupt(key, err.Error())
	}
	e.sealed = sealed
	if e.saga != id {
		return nil, tableJournal.corrupt(key, fmt.Sprintf("it belongs to saga %s instead of %s", e.saga, id))
	}
	return e, nil
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, id contract.SagaID, from uint64, limit int) (events []machine.Event, err error) {
	from = max(from, 1)
	err = s.view(ctx, func(tx *bolt.Tx) (err error) {
		defer func() { err = of(id, err) }()
		h, _, err := s.loadHead(tx, id)
		if err != nil || from > h.revision {
			return err
		}
		to := h.revision
		if n := uint64(store.Bounded(limit)); h.revision-from >= n {
			to = from + n - 1
		}
		entries, err := s.chain(tx, id, &h, from, to)
		if err != nil {
			return err
		}
		events, err = s.decodeEvents(entries, id, from, to)
		return err
	})
	return events, err
}

// chain walks a saga's journal backwards. It returns the records that contain the revisions in the
// range from … to, oldest first.
func (s *Store) chain(tx *bolt.Tx, id contract.SagaID, h *head, from, to uint64) ([]*entry, error) {
	var entries []*entry
	seq, end := h.last, h.revision // end: the last revision of the record at seq
	for skip, skipRevision := h.skip, h.skipRevision; skip != 0 && skipRevision > to; {
		e, err := s.loadEntry(tx, id, skip)
		if err != nil {
			return nil, err
		}
		seq, end = e.prev, skipRevision-1
		skip, skipRevision = e.skip, e.skipRevision
	}
	for seq != 0 && end >= from {
		e, err := s.loadEntry(tx, id, seq)
		if err != nil {
			return nil, err
		}
		if e.first+uint64(len(e.events))-1 != end {
			return nil, tableJournal.corrupt(sequenceKey(seq), fmt.Sprintf("it does not end with revision %d of saga %s", end, id))
		}
		if e.first <= to {
			entries = append(entries, e)
		}
		seq, end = e.prev, e.first-1
	}
	slices.Reverse(entries)
	return entries, nil
}

func (s *Store) decodeEvents(entries []*entry, id contract.SagaID, from, to uint64) ([]machine.Event, error) {
	events := make([]machine.Event, 0, to-from+1)
	for _, e := range entries {
		for i := range e.events {
			revision := e.first + uint64(i)
			if revision < from || revision > to {
				continue
			}
			event, err := s.eventOf(e, i)
			if err != nil {
				return nil, &store.CorruptError{What: fmt.Sprintf("event %d of saga %s", revision, id), Why: err.Error()}
			}
			events = append(events, *event)
		}
	}
	if uint64(len(events)) != to-from+1 {
		return nil, &store.CorruptError{What: "history of saga " + string(id), Why: "events are missing"}
	}
	return events, nil
}

// Counts implements store.Store. The counts are kept in memory and written with every commit.
func (s *Store) Counts(ctx context.Context) ([]store.Count, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	type key struct {
		ref   contract.DefinitionRef
		phase contract.Phase
	}
	sagas, ended := map[key]int{}, map[key]int{}
	s.mu.Lock()
	for t, n := range s.counts {
		k := key{t.ref, t.class.Phase()}
		sagas[k] += n
		if !t.class.Open() {
			ended[k] += n
		}
	}
	s.mu.Unlock()
	counts := make([]store.Count, 0, len(sagas))
	for k, n := range sagas {
		counts = append(counts, store.Count{Definition: k.ref, Phase: k.phase, Sagas: n, Ended: ended[k]})
	}
	slices.SortFunc(counts, func(a, b store.Count) int {
		return cmp.Or(cmp.Compare(a.Definition.Name, b.Definition.Name),
			cmp.Compare(a.Definition.Version, b.Definition.Version), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, nil
}

// readCounts loads the counts. If a count is damaged, it counts the entries of the index instead.
func (s *Store) readCounts(tx *bolt.Tx) error {
	c := tableCounts.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		t, ok := parseTally(k)
		body, err := tableCounts.open(k, v)
		if err != nil || !ok {
			s.report(cmp.Or[error](err, tableCounts.corrupt(k, "its key is too short")))
			return s.recount(tx)
		}
		r := reader{b: body}
		s.counts[t] = int(r.uvarint())
	}
	return nil
}

func (s *Store) recount(tx *bolt.Tx) error {
	clear(s.counts)
	c := tableIndex.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		line, err := parseLine(k, v)
		if err != nil {
			s.report(err)
			continue
		}
		s.counts[tally{line.ref, store.Class(k[0])}]++
	}
	return nil
}

// line is a decoded entry of the index.
type line struct {
	started int64
	id      contract.SagaID
	ref     contract.DefinitionRef
	class   store.Class
	damage  error // why only the id is known, or nil
}

func parseLine(k, v []byte) (line, error) {
	started, id, ok := parseIndexKey(k)
	body, err := tableIndex.open(k, v)
	if err != nil {
		return line{}, err
	}
	r := reader{b: body}
	l := line{started: started, id: id, class: store.Class(k[0])}
	l.ref.Version = int(r.uvarint())
	l.ref.Name = string(r.bytes())
	if !ok || r.err != nil {
		return line{}, tableIndex.corrupt(k, "it cannot be read")
	}
	return l, nil
}
