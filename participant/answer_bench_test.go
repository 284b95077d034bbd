package participant_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
)

// stockroom returns an in-memory participant whose handler does nothing.
func stockroom() *participant.Participant[*participant.MemoryTx] {
	p := participant.New("inventory", new(participant.MemoryInbox))
	participant.Handle(p, reserveStock, func(context.Context, *participant.MemoryTx, reserve) (reserved, error) {
		return reserved{Shelf: 7}, nil
	})
	participant.HandleUndo(p, releaseStock, func(context.Context, *participant.MemoryTx, contract.Undo[reserve, reserved]) error {
		return nil
	})
	return p
}

// BenchmarkAnswer measures the cost of a command without bus and handler.
func BenchmarkAnswer(b *testing.B) {
	p, next := stockroom(), commands()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Answer(b.Context(), next()); err != nil {
			b.Fatal(err)
		}
	}
}

// commands returns a function that returns the same command for a new saga each time.
func commands() func() *transport.Envelope {
	command, n := doCommand(), 0
	return func() *transport.Envelope {
		n++
		command.Saga = contract.SagaID("order-" + strconv.Itoa(n))
		command.ID = "42"
		return command
	}
}
