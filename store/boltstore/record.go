package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// head holds what the store needs to know about a saga, so that a commit need not decode the state
// that it replaces.
type head struct {
	revision uint64
	class    store.Class
	started  int64
	wake     int64 // 0 if the saga has no timer
	ended    int64 // 0 if the saga is open
	ref      contract.DefinitionRef

	changes      uint64 // number of journal records
	last         uint64 // sequence of the last journal record
	skip         uint64 // sequence of the last journal record whose number is a multiple of skipEvery
	skipRevision uint64 // first revision of that record

	birth    uint64 // sequence of the journal record that contains the birth
	birthSum uint32 // CRC32C of the birth or, if the birth is sealed, the beginning of its HMAC

	timer   int64    // time in the saga's key in timers, never after wake; 0 if the saga has no key
	debts   []debt   // pending outbox records
	results []result // step results that are not in the slim state

	// The following fields are not stored in the record.
	sealed  bool  // whether the slim state after the head is sealed
	updated int64 // time of the last event; only set in a head to be written
}

// Bits of a head's first byte, above the class. They say which optional parts follow.
const (
	headTimer   = 1 << 5 // the timer, because it differs from wake
	headDebts   = 1 << 6
	headResults = 1 << 7
	headClass   = headTimer - 1
)

// headSize is the maximum size, in bytes, of a head without the definition's name, debts and
// results.
const headSize = 1 + 4*8 + 4 + 8*binary.MaxVarintLen64

func (h *head) append(b []byte) []byte {
	first := byte(h.class)
	if h.timer != h.wake {
		first |= headTimer
	}
	if len(h.debts) > 0 {
		first |= headDebts
	}
	if len(h.results) > 0 {
		first |= headResults
	}
	b = append(b, first)
	for _, t := range []int64{h.started, h.wake, h.ended} {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	b = binary.BigEndian.AppendUint32(b, h.birthSum)
	for _, n := range []uint64{h.revision, uint64(h.ref.Version), h.changes, h.last, h.skip, h.skipRevision, h.birth} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendBytes(b, []byte(h.ref.Name))
	if first&headTimer != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(h.timer))
	}
	if first&headDebts != 0 {
		b = appendDebts(b, h)
	}
	if first&headResults != 0 {
		b = appendResults(b, h)
	}
	return b
}

// parseHead decodes a head and returns the slim state after it. Both share memory with b.
func parseHead(b []byte) (head, []byte, error) {
	r := reader{b: b}
	first := r.byte()
	h := head{class: store.Class(first & headClass)}
	h.started, h.wake, h.ended = int64(r.uint64()), int64(r.uint64()), int64(r.uint64())
	h.birthSum = r.uint32()
	h.revision = r.uvarint()
	h.ref.Version = int(r.uvarint())
	h.changes, h.last, h.skip, h.skipRevision, h.birth = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	h.ref.Name = string(r.bytes())
	h.timer = h.wake
	if first&headTimer != 0 {
		h.timer = int64(r.uint64())
	}
	if first&headDebts != 0 {
		h.debts = r.debts(&h)
	}
	if first&headResults != 0 {
		h.results = r.results(&h)
	}
	return h, r.b, r.err
}

// born returns the saga's birth, which is part of the ids of the saga's outbox records.
func (h *head) born() contract.Birth { return contract.BirthOf(instant(h.started)) }

func (h *head) tally() tally { return tally{h.ref, h.class} }

// entry is a journal record. It describes one change of one saga.
type entry struct {
	saga         contract.SagaID
	first        uint64 // revision of the first event
	prev         uint64 // sequence of the saga's previous change, or 0
	skip         uint64 // head.skip before this change, or 0
	skipRevision uint64
	birth        []byte   // nil if an earlier change contains it
	events       [][]byte // encoded
	began        bool     // the first event omits the data that the birth contains
	sealed       bool     // whether birth and events are sealed; not stored in the record
}

// entryBegan is the last byte of a journal record whose first event omits the data of the birth.
const entryBegan = 1

// size returns the maximum number of bytes that append writes.
func (e *entry) size() int {
	n := len(e.saga) + len(e.birth) + 7*binary.MaxVarintLen64 + 1
	for _, event := range e.events {
		n += len(event) + binary.MaxVarintLen64
	}
	return n
}

func (e *entry) append(b []byte) []byte {
	b = appendBytes(b, []byte(e.saga))
	for _, n := range []uint64{e.first, e.prev, e.skip, e.skipRevision} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendBytes(b, e.birth)
	b = binary.AppendUvarint(b, uint64(len(e.events)))
	for _, event := range e.events {
		b = appendBytes(b, event)
	}
	if e.began {
		b = append(b, entryBegan)
	}
	return b
}

func parseEntry(b []byte) (*entry, error) {
	r := reader{b: b}
	e := &entry{saga: contract.SagaID(r.bytes())}
	e.first, e.prev, e.skip, e.skipRevision = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	e.birth = r.bytes()
	n := r.uvarint()
	for range n {
		if r.err != nil {
			break
		}
		e.events = append(e.events, r.bytes())
	}
	e.began = r.err == nil && len(r.b) == 1 && r.b[0] == entryBegan
	return e, r.err
}

// encodeTombstone encodes the tombstone of a saga; parseTombstone decodes it.
func encodeTombstone(t *store.TombstoneError, class store.Class) []byte {
	b := []byte{byte(class)}
	b = append(b, t.Start[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(nano(t.Started)))
	b = binary.BigEndian.AppendUint64(b, uint64(nano(t.Ended)))
	b = binary.AppendUvarint(b, uint64(t.Definition.Version))
	b = appendBytes(b, []byte(t.Definition.Name))
	if r := t.Removal; r != nil {
		b = binary.BigEndian.AppendUint64(b, uint64(nano(r.At)))
		for _, text := range []string{r.By, r.Reason, r.Damage} {
			b = appendBytes(b, []byte(text))
		}
	}
	return b
}

func parseTombstone(id contract.SagaID, b []byte) (*store.TombstoneError, error) {
	r := reader{b: b}
	t := &store.TombstoneError{Saga: id, Phase: store.Class(r.byte()).Phase()}
	copy(t.Start[:], r.take(uint64(len(t.Start))))
	t.Started, t.Ended = instant(int64(r.uint64())), instant(int64(r.uint64()))
	t.Definition.Version = int(r.uvarint())
	t.Definition.Name = string(r.bytes())
	if len(r.b) > 0 {
		t.Removal = &store.Removal{At: instant(int64(r.uint64())), By: string(r.bytes()), Reason: string(r.bytes()), Damage: string(r.bytes())}
	}
	return t, r.err
}

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

var errShort = errors.New("it ends too early")

// reader decodes the fields of a record. After the first error it returns zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.err = errShort
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.err != nil || size <= 0 {
		r.err = fmt.Errorf("a number is damaged: %w", errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }
