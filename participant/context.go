package participant

import (
	"context"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

type commandKey struct{}

// Command is the command that a handler was called for, with its attempt,
// traceparent and expiry; nil outside a handler. It is read only.
func Command(ctx context.Context) *transport.Envelope {
	command, _ := ctx.Value(commandKey{}).(*transport.Envelope)
	return command
}

// WithCommand returns a context as a handler gets it, for tests that call the handler itself.
func WithCommand(ctx context.Context, command *transport.Envelope) context.Context {
	return context.WithValue(ctx, commandKey{}, command)
}

// KeyFrom is the idempotency key of the command that a handler was called for:
// the same for all attempts, and another one for a later saga with the same id. Give its String to the services the handler calls,
// so that they too do it once. The zero key outside a handler.
func KeyFrom(ctx context.Context) contract.Key {
	command := Command(ctx)
	if command == nil {
		return contract.Key{}
	}
	return command.Key()
}
