package boltstore

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

// Keys of the table meta.
const (
	metaSchema = "schema"
	metaSelf   = "self"
	metaClaim  = "claim"
	metaClock  = "clock"
	metaKey    = "key " // prefix; one row for each encryption key that was ever used
)

// Parts of a saga in the table sagas, and what follows in the key.
const (
	partData   = 'd' // name
	partEvents = 'e' // first revision
	partHead   = 'h'
	partStart  = 's'
)

// Kinds of keys in the table expiry.
const (
	expirySaga      = 's'
	expiryTombstone = 't'
)

// Kinds of keys in the table counts.
const (
	countSagas   = 's'
	countPending = 'd'
)

// minTime and maxTime are the earliest and latest times that nano can represent (1677-09-21 and
// 2262-04-11).
var minTime, maxTime = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// nano returns the stored form of a time; 0 means the zero time. It limits t to the range from minTime
// to maxTime, because a filter may contain any time.
func nano(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Before(minTime):
		return math.MinInt64
	case t.After(maxTime):
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

// sagaPrefix is the prefix of the keys of all parts of a saga.
func sagaPrefix(started int64, id contract.SagaID) []byte {
	k := make([]byte, 0, 8+len(id)+1+9+8)
	k = binary.BigEndian.AppendUint64(k, sortable(started))
	return append(append(k, id...), 0)
}

func partKey(started int64, id contract.SagaID, part byte, name []byte) []byte {
	return append(append(sagaPrefix(started, id), part), name...)
}

// parsePartKey returns whose part it is, and which.
func parsePartKey(k []byte) (id contract.SagaID, part byte, ok bool) {
	end := bytes.IndexByte(k[min(8, len(k)):], 0)
	if end < 1 || len(k) < 8+end+2 {
		return "", 0, false
	}
	return contract.SagaID(k[8 : 8+end]), k[8+end+1], true
}

// indexKey returns a key that sorts by class, then by start, then by descending id. Lists read the
// index backwards: newest start first, then by ascending id.
func indexKey(class store.Class, started int64, id contract.SagaID) []byte {
	k := make([]byte, 0, 10+len(id))
	k = binary.BigEndian.AppendUint64(append(k, byte(class)), sortable(started))
	for i := range len(id) {
		k = append(k, ^id[i])
	}
	return append(k, 0xff)
}

func parseIndexKey(k []byte) (class store.Class, started int64, id contract.SagaID, ok bool) {
	if len(k) < 11 || k[len(k)-1] != 0xff {
		return 0, 0, "", false
	}
	name := make([]byte, 0, len(k)-10)
	for _, c := range k[9 : len(k)-1] {
		name = append(name, ^c)
	}
	return store.Class(k[0]), unsortable(binary.BigEndian.Uint64(k[1:])), contract.SagaID(name), true
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

// pendingKey returns a key that sorts by destination, then in commit order, so that reading the
// messages of one destination need not skip those of others.
func pendingKey(to outbox.Destination, at outbox.Position) []byte {
	k := make([]byte, 0, len(to)+11)
	k = append(append(k, to...), 0)
	k = binary.BigEndian.AppendUint64(k, at.Commit)
	return binary.BigEndian.AppendUint16(k, at.Index)
}

func parsePendingKey(k []byte) (outbox.Destination, outbox.Position) {
	n := len(k) - 11
	if n < 0 || k[n] != 0 {
		return "", outbox.Position{}
	}
	return outbox.Destination(k[:n]), outbox.Position{Commit: binary.BigEndian.Uint64(k[n+1:]), Index: binary.BigEndian.Uint16(k[n+9:])}
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
