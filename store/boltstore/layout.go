package boltstore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

// schemaVersion is the version of the layout below. Open refuses a file with a different one.
const schemaVersion = 1

// A feature is something that a file may contain beyond its layout, such as a kind of event that
// earlier releases do not know. The transaction that first uses a feature records its name in the
// file. A release refuses to open a file with a feature that it does not know.
// featureSealed means that slim states, births, events, outbox records, definitions and tombstones
// are sealed (seal.go).
const featureSealed = "sealed"

// features lists the features that this release knows.
var features = []string{featureSealed}

// The file has ten buckets. Every value is framed (frame.go: format, checksum of the key, checksum
// of the body). Times are nanoseconds since 1970 in big endian with the sign bit inverted, so that
// their bytes sort by time. Ids contain no byte below 0x2d, so 0x00 can be a separator.
//
//	bucket       key                      body
//	meta         word                     schema, store, created, claim, clock, features, …
//	sagas        id                       head (revision, class, times, pending outbox records, journal positions), slim state
//	journal      sequence                 one change: its events, and data that is stored once (input …)
//	owed         to 0 sequence index      one outbox record, abridged
//	timers       time id                  -
//	index        class start ~id 0xff     definition
//	counts       name 0 version class     number of sagas
//	definitions  name 0 version           definition
//	tombstones   id                       tombstone of a saga
//	expiry       s|t ended id             -
//
// bbolt writes whole pages, so the cost of a commit is the number of pages that it changes. Large
// data (events, inputs, messages) is appended by sequence: the changes of a group share the last
// pages, whatever the saga ids are. Only small data is replaced in place: the slim state and a few
// keys. Nothing is stored twice: the input is in the birth record, a result is in the event that
// reported it (result.go), and a message omits everything that can be derived from other records.
// Outbox records are deleted many at a time, so that whole pages become free. A postponed timer
// keeps its key until that key comes due.
//
// The journal of a saga is a linked list from the head to the last change, and from each change to
// the previous one. A second link skips skipEvery changes, so that reading the middle of a long
// history is cheap.
var (
	tableMeta        = newTable("meta", 0.5)
	tableSagas       = newTable("sagas", 0.7)
	tableJournal     = newTable("journal", 0.95)
	tableOwed        = newTable("owed", 0.95)
	tableTimers      = newTable("timers", 0.9)
	tableIndex       = newTable("index", 0.7)
	tableCounts      = newTable("counts", 0.5)
	tableDefinitions = newTable("definitions", 0.5)
	tableTombstones  = newTable("tombstones", 0.9)
	tableExpiry      = newTable("expiry", 0.9)
)

var tables = []table{
	tableMeta, tableSagas, tableJournal, tableOwed, tableTimers, tableIndex,
	tableCounts, tableDefinitions, tableTombstones, tableExpiry,
}

// Keys of the bucket meta.
const (
	metaSchema      = "schema"
	metaStore       = "store"
	metaCreated     = "created"
	metaIncarnation = "incarnation"
	metaClaim       = "claim"
	metaClock       = "clock"
	metaFeature     = "feature " // key prefix; one key per feature of the file
)

// Kinds of keys in the expiry bucket.
const (
	expirySaga      = 's'
	expiryTombstone = 't'
)

// skipEvery is the number of changes that the second link of a journal record skips.
const skipEvery = 64

// first and last are the earliest and latest times that nano can represent (1677-09-21,
// 2262-04-11).
var first, last = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// nano returns the stored form of a time; 0 means the zero time. It limits t to the range from
// first to last, because a filter may contain any time.
func nano(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Before(first):
		return math.MinInt64
	case t.After(last):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// instant is the inverse of nano.
func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// sortable maps a signed number to an unsigned one with the same order.
func sortable(n int64) uint64 { return uint64(n) ^ 1<<63 }

func unsortable(u uint64) int64 { return int64(u ^ 1<<63) }

func sequenceKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// owedKey returns a key that sorts by destination, then in commit order, so that reading the
// records of one destination need not skip records of other destinations.
func owedKey(to outbox.Destination, seq uint64, place int) []byte {
	k := make([]byte, 0, len(to)+11)
	k = append(append(k, to...), 0)
	k = binary.BigEndian.AppendUint64(k, seq)
	return binary.BigEndian.AppendUint16(k, uint16(place))
}

// parseOwedKey returns the destination and the position in a key of tableOwed.
func parseOwedKey(k []byte) (outbox.Destination, outbox.Position) {
	n := len(k) - 11
	if n < 0 || k[n] != 0 {
		return "", outbox.Position{}
	}
	return outbox.Destination(k[:n]), outbox.Position{Commit: binary.BigEndian.Uint64(k[n+1:]), Index: binary.BigEndian.Uint16(k[n+9:])}
}

// outboxKey encodes an outbox.ID. The seal of an outbox record is bound to this encoding.
func outboxKey(id outbox.ID) []byte {
	k := make([]byte, 0, len(id.Saga)+19)
	k = append(append(k, id.Saga...), 0)
	k = binary.BigEndian.AppendUint64(k, uint64(id.Birth))
	k = binary.BigEndian.AppendUint64(k, id.Revision)
	return binary.BigEndian.AppendUint16(k, id.Index)
}

// timeKey returns the key of a timer (with an empty prefix) or of an expiry: prefix, time, id.
func timeKey(prefix string, at int64, id contract.SagaID) []byte {
	k := make([]byte, 0, len(prefix)+8+len(id))
	k = binary.BigEndian.AppendUint64(append(k, prefix...), sortable(at))
	return append(k, id...)
}

func parseTimeKey(prefix int, k []byte) (at int64, id contract.SagaID, ok bool) {
	if len(k) < prefix+9 {
		return 0, "", false
	}
	return unsortable(binary.BigEndian.Uint64(k[prefix:])), contract.SagaID(k[prefix+8:]), true
}

// indexKey returns a key that sorts by class, then by start, then by descending id. List reads the
// index backwards: newest start first, then by ascending id. The key of a new saga therefore sorts
// last in its class.
func indexKey(class store.Class, started int64, id contract.SagaID) []byte {
	k := make([]byte, 0, 10+len(id))
	k = binary.BigEndian.AppendUint64(append(k, byte(class)), sortable(started))
	return append(turn(k, id), 0xff)
}

// startKey returns a key that sorts before the entries of all sagas of a class that started at or
// after a time.
func startKey(class byte, started int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{class}, sortable(started))
}

// turn appends an id with all bits inverted.
func turn[T ~string | ~[]byte](k []byte, id T) []byte {
	for i := range len(id) {
		k = append(k, ^id[i])
	}
	return k
}

func parseIndexKey(k []byte) (started int64, id contract.SagaID, ok bool) {
	if len(k) < 11 || k[len(k)-1] != 0xff {
		return 0, "", false
	}
	return unsortable(binary.BigEndian.Uint64(k[1:])), contract.SagaID(turn(nil, k[9:len(k)-1])), true
}

// refKey returns the key of a definition.
func refKey(r contract.DefinitionRef) []byte {
	k := make([]byte, 0, len(r.Name)+6)
	return binary.BigEndian.AppendUint32(append(append(k, r.Name...), 0), uint32(r.Version))
}

func parseRefKey(k []byte) (contract.DefinitionRef, bool) {
	n := len(k) - 5
	if n < 1 || k[n] != 0 {
		return contract.DefinitionRef{}, false
	}
	return contract.DefinitionRef{Name: string(k[:n]), Version: int(binary.BigEndian.Uint32(k[n+1:]))}, true
}

// tally identifies a count: the number of sagas of one definition in one class.
type tally struct {
	ref   contract.DefinitionRef
	class store.Class
}

func (t tally) key() []byte { return append(refKey(t.ref), byte(t.class)) }

func parseTally(k []byte) (tally, bool) {
	if len(k) < 7 {
		return tally{}, false
	}
	ref, ok := parseRefKey(k[:len(k)-1])
	return tally{ref, store.Class(k[len(k)-1])}, ok
}
