package log

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ID identifies a log. It is random and made with the log.
type ID = uuid.UUID

// Hash is the chain hash of a record: the SHA-256 of the hash of the record before, the record's
// epoch, number and body. The hash before the first record is zero.
type Hash [sha256.Size]byte

// Mark is a position in a log, right behind a record. Two equal marks mean equal records up to them.
type Mark struct {
	Log    ID
	Epoch  uint64 // of the record; who decides increases it
	Number uint64 // of the record; 0 before the first, which has number 1
	Hash   Hash
}

// Record is a record of a log.
type Record struct {
	Mark        // right behind the record
	Body []byte // valid only during the call that gets it
}

// next returns the hash of the record with this body behind m.
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

// Errors of Open and Replay. Their texts say what to do.
var (
	// ErrDamaged means that a record cannot be read although a later one exists, or that a segment is
	// missing.
	ErrDamaged = errors.New("the log is damaged")
	// ErrForeign means that the log is not the one that a mark is of.
	ErrForeign = errors.New("not the log of this state")
	// ErrBehind means that the log ends before a mark.
	ErrBehind = errors.New("the log is older than the state")
	// ErrAhead means that the log begins after a mark, or continues differently.
	ErrAhead = errors.New("the log does not continue this state")
	// ErrLater means that a later release wrote the log.
	ErrLater = errors.New("written by a later release")
)

// Errors of Begin and Append.
var (
	// ErrFull means that the disk has no room for another segment. Nothing was written; the same call
	// can be made again when there is room.
	ErrFull = errors.New("the disk is full")
	// ErrBroken means that the disk failed. It is unknown whether the record is in the log. The log has
	// to be opened again, by a new process, because a failed sync cannot be repeated.
	ErrBroken = errors.New("the log failed and takes no more records")
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
