package outbox

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// ID identifies a record by the saga, the revision whose commit enqueues the message, and the index
// of the message in that commit. The ID is known before the commit. It is unique even if a later
// saga has the same id.
type ID struct {
	Saga     contract.SagaID
	Birth    contract.Birth
	Revision uint64
	Index    uint16
}

// Announcements is the first index of announcements. Smaller indexes belong to commands and are
// step numbers.
const Announcements = 1 << 15

// MessageID returns the CloudEvents id of an announcement: saga/birth/revision/number.
func (id ID) MessageID() string {
	return string(id.Saga) + "/" + id.Birth.String() + "/" + strconv.FormatUint(id.Revision, 10) + "/" + strconv.Itoa(int(id.Index&^Announcements))
}

// String returns the ID as saga/birth@revision#index.
func (id ID) String() string {
	return fmt.Sprintf("%s/%s@%d#%d", id.Saga, id.Birth, id.Revision, id.Index)
}

// Position orders the records of one destination in a ledger: by commit and, within a commit, in
// the order in which they were enqueued. It does not change while the record is pending. The zero
// Position is before all records.
type Position struct {
	Commit uint64 // number of the commit, from 1
	Index  uint16 // from 0
}

// Compare returns -1 if p comes before q, 0 if they are equal, and 1 otherwise.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Index, q.Index))
}

// Destination identifies the receiver of a record: the participant of a command, or Lifecycle. A
// destination that is unavailable delays no other (I13).
type Destination string

// Lifecycle is the destination of announcements. No participant has an empty name.
const Lifecycle Destination = ""

// Stream returns the stream that carries the destination's messages.
func (d Destination) Stream() transport.Stream {
	if d == Lifecycle {
		return transport.StreamLifecycle
	}
	return transport.StreamCommands
}

// String returns the participant's name, or "lifecycle".
func (d Destination) String() string {
	if d == Lifecycle {
		return string(transport.StreamLifecycle)
	}
	return string(d)
}

// Record is a pending message. It is committed together with the state that enqueues it, and sent
// until it is discarded.
type Record struct {
	ID       ID
	To       Destination
	Envelope transport.Envelope
}

// Answered reports whether the record is discarded by the commit of its answer. Such a record still
// exists if the bus loses the accepted message, so the loss only causes a delay (I2).
// Announcements, in contrast, are discarded once the bus has accepted them.
func (r *Record) Answered() bool { return r.To != Lifecycle }

// size returns the approximate size of the record on the bus, in bytes.
func (r *Record) size() int { return len(r.Envelope.Data) + len(r.Envelope.Subject) + headerBytes }

// headerBytes is the approximate size of a command's headers, in bytes.
const headerBytes = 512
