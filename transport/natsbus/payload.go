package natsbus

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/transport"
)

// headroom is what a dead letter may need beyond the message it holds: its own
// attributes, the original's names behind a prefix, and headers that cannot be read.
const headroom = 32 << 10

// MinPayload is the least that a server's max_payload may be, in bytes: the largest
// message of a saga, an undo that carries its request and its result, and what a
// dead letter of it needs. NATS's default, 1 MiB, is more.
const MinPayload = transport.MaxMessage + headroom

// ErrPayload: the server takes smaller messages than a saga may need.
var ErrPayload = errors.New("the NATS server's max_payload is too small")

// checkPayload refuses a server that would refuse messages of sagas that were
// accepted: a saga that cannot be undone is found out too late.
func checkPayload(most int64) error {
	if most <= 0 || most >= MinPayload { // not said, or enough
		return nil
	}
	return fmt.Errorf("%w: it takes messages of %d bytes, and the command of an undo with its dead letter may have %d; set max_payload: 1MB in the server's configuration",
		ErrPayload, most, MinPayload)
}
