package log

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ID identifies a log. It is random, and generated when the log is created.
type ID = uuid.UUID

// Hash is the chain hash of a record: the SHA-256 of the previous record's hash and of the record's
// epoch, number and body. The first record is chained to the zero hash.
type Hash [sha256.Size]byte

// Mark is a position in a log (a log sequence number with a hash), directly after a record. If two
// marks are equal, the records up to them are equal.
type Mark struct {
	Log    ID
	Epoch  uint64 // of the record, as passed to Begin; it never decreases
	Number uint64 // sequence number of the record, from 1; 0 before the first record
	Hash   Hash
}

// Record is a record of a log.
type Record struct {
	Mark        // directly after the record
	Body []byte // valid only until apply returns
}

// next returns the hash of the record that follows m and has this epoch and body.
func (m *Mark) next(epoch uint64, body []byte) Hash {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], epoch)
	binary.BigEndian.PutUint64(head[8:], m.Number+1)
	h := sha256.New()
	h.Write(m.Hash[:])
	h.Write(head[:])
	h.Write(body)
	return Hash(h.Sum(nil))
}

// Errors of Open, Replay and Scan. The errors that wrap them say what to do.
var (
	// ErrMissing means that there is no log: no directory, or no segment in it.
	ErrMissing = errors.New("there is no log")
	// ErrDamaged means that a record cannot be read although a later one can, that a record does not
	// continue the previous one, or that a segment or its header is missing or incomplete.
	ErrDamaged = errors.New("the log is damaged")
	// ErrForeign means that a mark is of another log.
	ErrForeign = errors.New("not the log of this state")
	// ErrBehind means that the log ends before a mark.
	ErrBehind = errors.New("the log is older than the state")
	// ErrAhead means that the log begins after a mark, or has another record at the mark.
	ErrAhead = errors.New("the log does not continue this state")
	// ErrLater means that a later release wrote the log.
	ErrLater = errors.New("written by a later release")
)

// Errors of Begin and Append. Replay returns ErrBroken too.
var (
	// ErrFull means that the disk has no room for another segment. Nothing of the record was written;
	// repeat the call when there is room.
	ErrFull = errors.New("the disk is full")
	// ErrBroken means that the disk failed. It is unknown whether the record is in the log. The log
	// must be opened again, by a new process, because retrying a failed sync does not make data durable.
	ErrBroken = errors.New("the log failed and accepts no more records")
)

// DamageError says where a log is damaged. It matches ErrDamaged.
type DamageError struct {
	Segment string // name of the file
	Offset  int64  // in the file, in bytes
	Number  uint64 // of the record that is expected there; 0 if unknown
	Why     string
}

func (e *DamageError) Error() string {
	at := e.Segment
	if e.Number > 0 {
		at = fmt.Sprintf("record %d, in %s at byte %d", e.Number, e.Segment, e.Offset)
	}
	return fmt.Sprintf("%v: %s: %s; keep the directory for inspection, and restore a backup", ErrDamaged, at, e.Why)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }
