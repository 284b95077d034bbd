package natsbus

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/transport"
)

// headroom is the number of bytes that a dead letter may need in addition to the original message.
// It covers the dead letter's own attributes, the percent-encoding of the original headers, and
// headers that cannot be parsed.
const headroom = 32 << 10

// MinPayload is the minimum for a server's max_payload, in bytes. It covers the largest message of
// a saga, which is an undo with its request and result, and the overhead of that message's dead
// letter. NATS's default max_payload, 1 MiB, is larger than MinPayload.
const MinPayload = transport.MaxMessage + headroom

// ErrPayload is returned if a server's max_payload is less than MinPayload.
var ErrPayload = errors.New("the NATS server's max_payload is too small")

// checkPayload returns an error for a server that would refuse large messages of accepted sagas.
// Without the check, the problem would appear only when a saga cannot be undone.
func checkPayload(most int64) error {
	if most <= 0 || most >= MinPayload { // unknown, or enough
		return nil
	}
	return fmt.Errorf("%w: the server accepts messages of up to %d bytes, but the dead letter of an undo command can have %d; set max_payload: 1MB in the server's configuration",
		ErrPayload, most, MinPayload)
}
