package outbox

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// ID identifies a record: the saga, the revision whose commit enqueues the message,
// and the index of the message within that commit. It is known before the commit, and no
// later saga with the same id has it.
type ID struct {
	Saga     contract.SagaID
	Birth    contract.Birth
	Revision uint64
	Index    uint16
}

// Announcements is where the indexes of announcements begin; below are the numbers of
// steps, for their commands.
const Announcements = 1 << 15

// MessageID is the CloudEvents id of the announcement of a record:
// saga/birth/revision/number.
func (id ID) MessageID() string {
	return string(id.Saga) + "/" + id.Birth.String() + "/" + strconv.FormatUint(id.Revision, 10) + "/" + strconv.Itoa(int(id.Index&^Announcements))
}

// String is saga/birth@revision#index.
func (id ID) String() string {
	return fmt.Sprintf("%s/%s@%d#%d", id.Saga, id.Birth, id.Revision, id.Index)
}

// Position is where a record stands in a ledger, among those of its destination: in the order of the commits that enqueue the
// records, and within a commit in the order in which it enqueues them. It stays the same as
// long as the record is pending. The zero Position is before all records.
type Position struct {
	Commit uint64 // number of the commit, from 1
	Index  uint16 // from 0
}

// Compare is below 0 when p comes before q, and 0 when they are the same.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Index, q.Index))
}

// Destination is where a record goes: the participant whose command it is, or
// Lifecycle. What one destination does not take delays no other (I13).
type Destination string

// Lifecycle is the destination of announcements. No participant has an empty name.
const Lifecycle Destination = ""

// Stream is the stream that carries what goes to the destination.
func (d Destination) Stream() transport.Stream {
	if d == Lifecycle {
		return transport.Lifecycle
	}
	return transport.Commands
}

// String is the participant's name, or "lifecycle".
func (d Destination) String() string {
	if d == Lifecycle {
		return string(transport.Lifecycle)
	}
	return string(d)
}

// Record is a message that is pending: committed together with the state that enqueues
// it, and sent until it is discarded.
type Record struct {
	ID       ID
	To       Destination
	Envelope transport.Envelope
}

// Answered reports whether the record is discarded by the commit that takes in its
// answer, and not by the bus: a bus that loses what it accepted costs latency only
// (I2). The others, announcements, are discarded when the bus has accepted them.
func (r *Record) Answered() bool { return r.To != Lifecycle }

// size is about how many bytes the record takes on the bus.
func (r *Record) size() int { return len(r.Envelope.Data) + len(r.Envelope.Subject) + headerBytes }

// headerBytes is about what a command's headers take.
const headerBytes = 512
