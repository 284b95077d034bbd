package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/seal"
)

var (
	// ErrRecord means that a record of the log is intact, but cannot be applied. The error says how Skip
	// makes it void.
	ErrRecord = errors.New("a record of the log cannot be applied")
	// ErrNotSkipped means that Skip has refused to make a record void, and has changed nothing.
	ErrNotSkipped = errors.New("the record is not skipped")
)

// recordError is the error of a record that is intact but cannot be applied.
func (s *Store) recordError(number uint64, err error) error {
	return fmt.Errorf("%w: record %d: %w: use the release that wrote it; or make it void, so that the sagas that it changed count as "+
		"damaged, with: coordinator log skip %d --reason TEXT --data-dir %s", ErrRecord, number, err, number, filepath.Dir(s.info.Path))
}

// Skipped is a record of the log that could not be applied, and that an operator made void.
type Skipped struct {
	Number uint64 // of the record
	Reason string
	By     string // the operator; "" if not given
	At     time.Time
	// Sagas are damaged, because the record changes them. Only Skip sets it, and only as far as the
	// record can be decoded. Any other saga that the record changes is damaged too, if a later record
	// changes it; if none does, its last change is lost without a trace.
	Sagas []contract.SagaID
	// Entries are lost: definitions and other values that the record sets, as table and key. See Sagas.
	Entries []string
}

// Skip makes a record of the log void, because it cannot be applied and so the store does not open. No
// process may have the store open. The next Open goes on behind the record, and treats the sagas that
// it changes as damaged.
//
// Skip returns ErrNotSkipped if the record can be applied, is part of the state, or does not exist, or if
// there is no reason;
// ErrRecord if an earlier one has to be skipped first; and otherwise the errors of Open.
func Skip(path string, number uint64, reason, by string, options Options) (Skipped, error) {
	v := Skipped{Number: number, Reason: reason, By: by}
	err := v.skip(path, options)
	if err != nil {
		return v, fmt.Errorf("skip record %d of the log of store %s: %w", number, path, err)
	}
	return v, nil
}

func (v *Skipped) skip(path string, options Options) (err error) {
	if options, err = options.withDefaults(); err != nil {
		return err
	}
	if v.Reason == "" || len(v.Reason) > contract.MaxReason || len(v.By) > contract.MaxReason {
		return fmt.Errorf("%w: give a reason; it and the name can have at most %d bytes each", ErrNotSkipped, contract.MaxReason)
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	s := newStore(path, options)
	if s.db, err = openFile(path, options, s.report); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, boltfile.Guard(s.db.Close)) }()
	v.At = options.Now()
	return boltfile.Guard(func() error {
		self, err := s.readState()
		if err != nil {
			return err
		}
		hash, err := v.find(s, self)
		if err != nil {
			return err
		}
		self.Skipped = append(self.Skipped, &amendsv1.SkippedRecord{
			Number: v.Number, Hash: hash[:], Reason: v.Reason, By: v.By, AtUnixNano: nano(v.At),
		})
		return s.db.Update(func(tx *bolt.Tx) error { return putSelf(tx, self) })
	})
}

// find finds the record, and tries to apply it as Open does. It returns the record's hash.
func (v *Skipped) find(s *Store, self *amendsv1.StoreRow) (hash log.Hash, err error) {
	mark := markOf(self)
	if v.Number <= mark.Number {
		return hash, fmt.Errorf("%w: it is part of the state, which follows from the log up to record %d", ErrNotSkipped, mark.Number)
	}
	stop := errors.New("found")
	f := s.follow(self, mark)
	last, _, err := log.Scan(logPath(s.info.Path), mark, func(r log.Record) error {
		err := s.replay(f, &r)
		switch {
		case r.Number < v.Number:
			return err
		case f.skipped(&r.Mark):
			return fmt.Errorf("%w: it is void already", ErrNotSkipped)
		case err == nil:
			return fmt.Errorf("%w: it can be applied", ErrNotSkipped)
		case !errors.Is(err, ErrRecord) || errors.Is(err, seal.ErrKey):
			return err
		}
		hash = r.Hash
		v.name(r.Body)
		return stop
	})
	switch {
	case err == nil:
		return hash, fmt.Errorf("%w: the log ends with record %d", ErrNotSkipped, last.Number)
	case errors.Is(err, stop):
		return hash, nil
	}
	return hash, lost(err)
}

// name sets what the record changes.
func (v *Skipped) name(body []byte) {
	rest := decodeRest(body)
	for _, item := range rest.changes() {
		v.Sagas = append(v.Sagas, contract.SagaID(item.Saga))
	}
	for _, item := range rest.items {
		if e := item.Entry; e != nil {
			v.Entries = append(v.Entries, fmt.Sprintf("%.32q %.160q", e.Table, e.Key))
		}
	}
}

// skippedRecords returns the records that were made void.
func skippedRecords(self *amendsv1.StoreRow) (list []Skipped) {
	for _, r := range self.Skipped {
		list = append(list, Skipped{Number: r.Number, Reason: r.Reason, By: r.By, At: instant(r.AtUnixNano)})
	}
	return list
}

// follower decodes the records that follow from a position on.
type follower struct {
	s      *Store
	void   []*amendsv1.SkippedRecord
	before log.Mark
	item   uint64 // number of the last item
	gap    uint64 // how many items the void records after it may have had
}

func (s *Store) follow(self *amendsv1.StoreRow, from log.Mark) *follower {
	return &follower{s: s, void: self.Skipped, before: from, item: self.Item}
}

// skipped reports whether a record is void.
func (f *follower) skipped(at *log.Mark) bool {
	return slices.ContainsFunc(f.void, func(v *amendsv1.SkippedRecord) bool {
		return v.Number == at.Number && bytes.Equal(v.Hash, at.Hash[:])
	})
}

// next decodes the next record. items is nil if the record is void. Behind a void record, the numbers of
// the items go on later, because it is not known how many items it had: at most one for each byte before compression.
func (f *follower) next(r *log.Record) (items *amendsv1.LogItems, err error) {
	if f.skipped(&r.Mark) {
		f.gap += maxPacking * uint64(len(r.Body))
		f.before = r.Mark
		return nil, nil
	}
	if items, err = f.s.decode(f.before, r.Body); err == nil {
		err = check(items, f.item+1, f.item+1+f.gap)
	}
	if err != nil {
		return nil, f.s.recordError(r.Number, err)
	}
	f.before, f.gap, f.item = r.Mark, 0, items.First+uint64(len(items.Items))-1
	return items, nil
}

// voidRecord applies a void record: the sagas that it changes are damaged, unless bbolt holds the change.
func (s *Store) voidRecord(r *log.Record) error {
	rest := decodeRest(r.Body)
	if rest.first == 0 {
		rest.first = s.item + 1
	}
	for _, item := range rest.changes() {
		o, err := s.current(contract.SagaID(item.Saga))
		if err != nil {
			return err
		}
		s.mu.Lock()
		switch h := o.head(); {
		case o.damage != nil:
			s.overlay.set(o)
		case h.GetAt() < item.Head.At:
			s.distrust(o, item.Head, fmt.Sprintf("record %d of the log, which changes the saga, was skipped", r.Number))
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark, s.logged = r.Mark, s.logged+int64(len(r.Body))
	return nil
}

// distrust marks a saga as damaged, because a change of it is lost. It keeps the state before the change.
// If there is none, it takes what a later head tells. Store.mu is locked.
func (s *Store) distrust(o *saga, later *head, why string) {
	old := o.head()
	fresh := old == nil || removed(old)
	h := proto.CloneOf(old)
	if fresh {
		h = &head{
			Revision: later.Revision, Class: later.Class, StartedUnixNano: later.StartedUnixNano, WakeUnixNano: later.WakeUnixNano,
			EndedUnixNano: later.EndedUnixNano, Definition: later.Definition, InputSize: later.InputSize, InputSum: later.InputSum,
		}
	}
	h.At, h.Damage = max(old.GetAt(), s.item), why
	s.overlay.append(*o, &amendsv1.LogItem{Saga: string(o.id), Head: h, Fresh: fresh})
	tallies(old, s.count, -1)
	tallies(h, s.count, 1)
}

// distrusted returns the damage of a saga that can be read, but is not what was acknowledged, or nil.
func distrusted(id contract.SagaID, h *head) error {
	if h.GetDamage() == "" {
		return nil
	}
	return &store.CorruptError{What: "saga " + string(id), Why: h.Damage, Saga: id}
}

// follows reports whether an item continues its saga. One that does not was preceded by a change in a void
// record.
func follows(old *head, item *amendsv1.LogItem) bool {
	if item.Fresh || item.Head == nil {
		return true
	}
	return old != nil && !removed(old) && item.Head.Revision == old.Revision+uint64(len(item.Events))
}

// recordRest is what can be decoded of a record that cannot be applied.
type recordRest struct {
	items []*amendsv1.LogItem
	whole []bool // whether the item was decoded completely
	first uint64 // number of the first item; 0 if unknown
}

// decodeRest decodes each item by itself.
func decodeRest(body []byte) (rest recordRest) {
	r := new(amendsv1.LogRecord)
	_ = (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, r) // sets what comes before an error
	content, err := itemsOf(r)
	if err != nil {
		return rest
	}
	eachField(content, func(field protowire.Number, number uint64, encoded []byte) {
		switch field {
		case 1: // LogItems.first
			rest.first = number
		case 2: // LogItems.items
			item := new(amendsv1.LogItem)
			whole := protoconv.Unmarshal(encoded, item) == nil
			if !whole {
				_ = (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encoded, item) // sets what comes before an error
			}
			rest.items, rest.whole = append(rest.items, item), append(rest.whole, whole)
		}
	})
	return rest
}

// eachField calls yield with the fields of an encoded message, up to the first that cannot be decoded.
func eachField(b []byte, yield func(field protowire.Number, number uint64, content []byte)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var number uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return
		}
		yield(field, number, content)
		b = b[n:]
	}
}

// changes returns, for each saga whose state the record changes, the last item that does so. Head.At is its
// number. Items that settle messages or remove a saga that has ended change no state: the message is
// sent again, and the saga removed again.
func (r *recordRest) changes() (items []*amendsv1.LogItem) {
	at := map[string]int{}
	for i, item := range r.items {
		h := item.Head
		settles := len(item.Events) == 0 && len(h.GetRest()) == 0
		if contract.SagaID(item.Saga).Check() != nil || r.whole[i] && (h == nil || removed(h) || settles) {
			continue
		}
		changed := &amendsv1.LogItem{Saga: item.Saga, Head: proto.CloneOf(h)}
		if h == nil || store.Class(h.Class).Phase() == "" || h.Definition.GetName() == "" {
			changed.Head = &head{Class: uint32(store.ClassParked), Definition: &amendsv1.DefinitionRef{Name: "unknown"}}
		}
		if changed.Head.At = r.first + uint64(i); r.first == 0 {
			changed.Head.At = 1<<64 - 1
		}
		if n, known := at[item.Saga]; known {
			items[n] = changed
			continue
		}
		at[item.Saga] = len(items)
		items = append(items, changed)
	}
	return items
}
