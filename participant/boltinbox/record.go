package boltinbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/participant"
)

// DamageError reports a stored entry that cannot be decoded, because the file is damaged or another
// program has written it. Restore the file from a backup. Alternatively, determine from the
// service's own data whether the step was done, and remove the entry.
type DamageError struct {
	Key participant.StepKey
	Err error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("inbox entry %s is damaged: %v", entryKey(e.Key), e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// record is a stored entry. It is stored as four bytes with the CRC-32C of its JSON, followed by
// the JSON.
type record struct {
	Version   int                `json:"v"`
	Do        participant.Answer `json:"do"`
	Undo      participant.Answer `json:"undo"`
	UpdatedMs int64              `json:"updated_ms"`
}

const version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(e participant.Entry) []byte {
	data, err := json.Marshal(record{Version: version, Do: e.Do, Undo: e.Undo, UpdatedMs: e.Updated.UnixMilli()})
	if err != nil {
		panic(err) // strings, bytes and numbers can always be encoded
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), crc32.Checksum(data, castagnoli))
	return append(b, data...)
}

func decode(b []byte) (e participant.Entry, err error) {
	if len(b) < 4 {
		return e, errors.New("it is too short: " + plural.Of(len(b), "byte", "bytes"))
	}
	sum, data := binary.BigEndian.Uint32(b), b[4:]
	if sum != crc32.Checksum(data, castagnoli) {
		return e, errors.New("its checksum does not match")
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return e, err
	}
	if r.Version != version {
		return e, fmt.Errorf("it has version %d, but this program reads only version %d: use a newer program", r.Version, version)
	}
	return participant.Entry{Do: r.Do, Undo: r.Undo, Updated: time.UnixMilli(r.UpdatedMs).UTC()}, nil
}
