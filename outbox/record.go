package outbox

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// ID identifies a record: the saga, the revision whose commit owes the message,
// and the message's place within that commit. It is known before the commit.
type ID struct {
	Saga     contract.SagaID
	Revision uint64
	Index    uint16
}

// Announcements is where the indexes of announcements begin; below are the numbers of
// steps, for their commands.
const Announcements = 1 << 15

// MessageID is the CloudEvents id of the announcement of a record: saga/revision/number.
func (id ID) MessageID() string {
	return string(id.Saga) + "/" + strconv.FormatUint(id.Revision, 10) + "/" + strconv.Itoa(int(id.Index&^Announcements))
}

// String is saga@revision#index.
func (id ID) String() string { return fmt.Sprintf("%s@%d#%d", id.Saga, id.Revision, id.Index) }

// Place is where a record stands in a ledger: in the order of the commits that owe the
// records, and within a commit in the order in which it owes them. It stays the same as
// long as the record is owed. The zero Place is before all records.
type Place struct {
	Commit uint64 // number of the commit, from 1
	Index  uint16 // from 0
}

// Compare is below 0 when p comes before q, and 0 when they are the same.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Index, q.Index))
}

// Record is a message that is owed: committed together with the state that owes
// it, and sent until it is settled.
type Record struct {
	ID       ID
	Envelope transport.Envelope
	// Answered records are settled by the commit that takes in the answer, not by
	// the bus: a bus that loses what it accepted costs latency only (I2). The
	// others, announcements, are settled when the bus has accepted them.
	Answered bool
}
