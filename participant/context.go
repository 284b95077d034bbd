package participant

import (
	"context"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

type commandKey struct{}

// Command returns the command that the handler was called for, with its attempt, traceparent and
// expiry; nil outside a handler. It must not be modified.
func Command(ctx context.Context) *transport.Envelope {
	command, _ := ctx.Value(commandKey{}).(*transport.Envelope)
	return command
}

// WithCommand returns a context as a handler gets it, for tests that call the handler itself.
func WithCommand(ctx context.Context, command *transport.Envelope) context.Context {
	return context.WithValue(ctx, commandKey{}, command)
}

// KeyFrom returns the idempotency key of the command that the handler was called for; the zero key
// outside a handler. It is the same for all attempts, and different for a later saga with the same
// id. Pass its String to the services that the handler calls, so that they too execute once.
func KeyFrom(ctx context.Context) contract.Key {
	command := Command(ctx)
	if command == nil {
		return contract.Key{}
	}
	return command.Key()
}
