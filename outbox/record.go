package outbox

import (
	"fmt"

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

// String is saga@revision#index.
func (id ID) String() string { return fmt.Sprintf("%s@%d#%d", id.Saga, id.Revision, id.Index) }

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
