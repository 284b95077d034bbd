package store

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Position is a position in a list, right after the saga with this start and id.
type Position struct {
	Started time.Time
	ID      contract.SagaID
}

// Before reports whether p precedes q in a list: newest start first, then by id.
func (p Position) Before(q Position) bool {
	if !p.Started.Equal(q.Started) {
		return p.Started.After(q.Started)
	}
	return p.ID < q.ID
}

const cursorVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Cursor encodes a position for a client that pages through the list. The cursor is valid only for
// this filter.
func (f *Filter) Cursor(p Position) string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(p.Started.UnixNano()))
	b = append(b, p.ID...)
	b = binary.BigEndian.AppendUint32(b, f.sum(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Position decodes a cursor. It returns ErrCursor unless Cursor encoded the cursor for the same
// filter.
func (f *Filter) Position(cursor string) (Position, error) {
	if len(cursor) > 512 {
		return Position{}, fmt.Errorf("%w: it is %d bytes long", ErrCursor, len(cursor))
	}
	// The decoder ignores line breaks, which Cursor never writes.
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || strings.ContainsAny(cursor, "\r\n") || len(b) < 1+8+1+4 || b[0] != cursorVersion {
		return Position{}, fmt.Errorf("%w: use the cursor of the previous page", ErrCursor)
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	p := Position{
		Started: time.Unix(0, int64(binary.BigEndian.Uint64(body[1:9]))).UTC(),
		ID:      contract.SagaID(body[9:]),
	}
	if sum != f.sum(body) || p.ID.Check() != nil {
		return Position{}, fmt.Errorf("%w: it belongs to another list, or was changed", ErrCursor)
	}
	return p, nil
}

// sum returns a checksum of a cursor's body and the filter.
func (f *Filter) sum(body []byte) uint32 {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	filter := fmt.Appendf(nil, "%q %d %q %q %t %s %s", f.Definition, f.Version, f.Phases, f.IDPrefix, f.OpenOnly,
		at(f.StartedAfter), at(f.StartedBefore))
	filter = fmt.Appendf(filter, "%q %s %q %q %q %t %t", f.IDs, at(f.UpdatedBefore), f.Reason, f.Step, f.Participant, f.Paused, f.Overdue)
	return crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, filter)
}
