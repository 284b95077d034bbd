package boltstore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

// schemaVersion is the number of the layout below. A file with another one is refused.
const schemaVersion = 1

// A feature is something that a file may have beyond its layout, such as a kind of event that
// earlier releases do not know. The transaction that first uses a feature records it in the file,
// and a program refuses a file with a feature that it does not know, by name.
const featureSealed = "sealed" // slim states, births, events, owed records, definitions and tombstones are sealed (seal.go)

// features are the features that this program knows.
var features = []string{featureSealed}

// The file has ten buckets. Every value is framed (frame.go: format, checksum of the key, checksum
// of the body). Times are nanoseconds since 1970 with the sign bit inverted, big endian, so that
// they sort; ids have no byte below 0x2d, so 0x00 can separate.
//
//	bucket       key                      body
//	meta         word                     schema, store id, created, incarnation, claim
//	sagas        id                       head (revision, class, times, pending outbox records, journal positions), slim state
//	journal      sequence                 one change: its events, and what is stored once (input …)
//	owed         to 0 sequence place      one outbox record, abridged
//	timers       time id                  -
//	index        class start ~id 0xff     definition
//	counts       name 0 version class     number of sagas
//	definitions  name 0 version           definition
//	tombstones   id                       what is left of a saga
//	expiry       s|t ended id             -
//
// A page is the unit of writing, so the cost of a commit is the pages it touches. Large data
// (events, inputs, messages) is appended by sequence: a group of changes shares the last pages,
// whatever the ids are. Only small data is replaced in place: the slim state and a few keys.
// Nothing is stored twice: the input is in the birth, a result is in the event that brought it
// (result.go), and a message holds only what does not follow from the rest. Outbox records are
// removed many at a time, so that whole pages become free. A timer that is postponed keeps its key
// until that key comes due.
//
// The journal is a chain: head → last change → the one before …, with a second link that skips
// skipEvery changes, so that reading the middle of a long history is cheap.
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

// Keys of the meta bucket.
const (
	metaSchema      = "schema"
	metaStore       = "store"
	metaCreated     = "created"
	metaIncarnation = "incarnation"
	metaClaim       = "claim"
	metaClock       = "clock"
	metaFeature     = "feature " // prefix of the key of each feature that the file has
)

// Kinds of keys in the expiry bucket.
const (
	expirySaga      = 's'
	expiryTombstone = 't'
)

// skipEvery is the number of changes that the second link of the journal skips.
const skipEvery = 64

// first and last are the first and last time that nano can represent: 1677-09-21 and 2262-04-11.
var first, last = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// nano returns a time as it is stored; 0 means none. Times out of range become first or last,
// because a filter may contain any time.
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

// sortable maps a time to an unsigned number with the same order.
func sortable(n int64) uint64 { return uint64(n) ^ 1<<63 }

func unsortable(u uint64) int64 { return int64(u ^ 1<<63) }

func sequenceKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// owedKey sorts by destination, then by commit order, so that the records of one destination are
// read without skipping those of others.
func owedKey(to outbox.Destination, seq uint64, place int) []byte {
	k := make([]byte, 0, len(to)+11)
	k = append(append(k, to...), 0)
	k = binary.BigEndian.AppendUint64(k, seq)
	return binary.BigEndian.AppendUint16(k, uint16(place))
}

// parseOwedKey returns the destination and the position that a key in tableOwed holds.
func parseOwedKey(k []byte) (outbox.Destination, outbox.Position) {
	n := len(k) - 11
	if n < 0 || k[n] != 0 {
		return "", outbox.Position{}
	}
	return outbox.Destination(k[:n]), outbox.Position{Commit: binary.BigEndian.Uint64(k[n+1:]), Index: binary.BigEndian.Uint16(k[n+9:])}
}

// outboxKey encodes an outbox.ID. Seals are bound to it.
func outboxKey(id outbox.ID) []byte {
	k := make([]byte, 0, len(id.Saga)+19)
	k = append(append(k, id.Saga...), 0)
	k = binary.BigEndian.AppendUint64(k, uint64(id.Birth))
	k = binary.BigEndian.AppendUint64(k, id.Revision)
	return binary.BigEndian.AppendUint16(k, id.Index)
}

// timeKey is the key of a timer (without a prefix) or of an expiry: prefix, time, id.
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

// indexKey sorts by class, then start, then id in reverse, because the list is read from its end:
// newest start first, then by id. New sagas are appended.
func indexKey(class store.Class, started int64, id contract.SagaID) []byte {
	k := make([]byte, 0, 10+len(id))
	k = binary.BigEndian.AppendUint64(append(k, byte(class)), sortable(started))
	return append(turn(k, id), 0xff)
}

// startKey sorts before all entries of a class that started at that time or later.
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

// refKey is the key of a definition.
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

// tally is the key by which sagas are counted.
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
