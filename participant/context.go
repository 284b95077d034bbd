package participant

import (
	"context"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

type commandKey struct{}

// Command returns the command for which the handler was called, with its attempt, traceparent and
// expiry. It returns nil outside a handler. The command must not be modified.
func Command(ctx context.Context) *transport.Envelope {
	command, _ := ctx.Value(commandKey{}).(*transport.Envelope)
	return command
}

// WithCommand returns a context from which Command returns the given command, for tests that call a
// handler directly.
func WithCommand(ctx context.Context, command *transport.Envelope) context.Context {
	return context.WithValue(ctx, commandKey{}, command)
}

// KeyFrom returns the idempotency key of the command for which the handler was called, or the zero
// key outside a handler. The key is the same for all attempts, and different for a later saga with
// the same id. Pass its String to services that the handler calls, so that they can deduplicate the
// calls too.
func KeyFrom(ctx context.Context) contract.Key {
	command := Command(ctx)
	if command == nil {
		return contract.Key{}
	}
	return command.Key()
}
