package participant_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
)

type (
	Charge struct {
		Card  string `json:"card"`
		Cents int    `json:"cents"`
	}
	Receipt struct {
		Number string `json:"number"`
	}
)

var (
	ChargeCard = contract.NewCommand[Charge, Receipt]("payment", "charge-card")
	RefundCard = contract.UndoOf(ChargeCard, "refund-card")
)

// A handler returns the result of its step. A service with a database takes an inbox of
// package sqlinbox or boltinbox: then the handler's transaction and the answer commit together.
func ExampleHandle() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(_ context.Context, tx *participant.MemoryTx, c Charge) (Receipt, error) {
		tx.OnCommit(func() { fmt.Println("charged", c.Cents) })
		return Receipt{"r-1"}, nil
	})
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`)
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`) // comes again: answered, not charged again
	// Output:
	// charged 500
	// completed {"number":"r-1"}
	// completed {"number":"r-1"}
}

// The undo of a step gets what its do was asked for and, if that is known, what it answered.
func ExampleHandleUndo() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{"r-1"}, nil
	})
	participant.HandleUndo(p, RefundCard, func(_ context.Context, _ *participant.MemoryTx, u contract.Undo[Charge, Receipt]) error {
		fmt.Println("refund", u.Request.Cents, "of", u.Result.Number)
		return nil
	})
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`)
	ask(p, contract.DirectionUndo, `{"request":{"card":"4111","cents":500},"result":{"number":"r-1"}}`)
	// Output:
	// completed {"number":"r-1"}
	// refund 500 of r-1
	// completed
}

// The business says no: the step left no trace, and the saga goes back.
func ExampleReject() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{}, participant.Reject("the card is expired")
	})
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`)
	// Output:
	// rejected the card is expired
}

// Any other error is a failure: the step is tried again as its definition says, unless that
// cannot help.
func ExampleFatal() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(_ context.Context, _ *participant.MemoryTx, c Charge) (Receipt, error) {
		if c.Card == "" {
			return Receipt{}, participant.Fatal(errors.New("there is no card"))
		}
		return Receipt{}, errors.New("the bank does not answer")
	})
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`)
	ask(p, contract.DirectionDo, `{"cents":500}`)
	// Output:
	// failed the bank does not answer
	// failed for good there is no card
}

// The idempotency key is the same for all attempts of a step: other systems are given it.
func ExampleKeyFrom() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(ctx context.Context, _ *participant.MemoryTx, _ Charge) (Receipt, error) {
		fmt.Println("Idempotency-Key:", participant.KeyFrom(ctx))
		return Receipt{"r-1"}, nil
	})
	ask(p, contract.DirectionDo, `{"card":"4111","cents":500}`)
	// Output:
	// Idempotency-Key: order-42/hod85snpc0/charge/do
	// completed {"number":"r-1"}
}

// ask gives a participant the command of a step, as a carrier does, and prints the answer.
func ask(p *participant.Participant[*participant.MemoryTx], direction contract.Direction, data string) {
	action := "charge-card"
	if direction == contract.DirectionUndo {
		action = "refund-card"
	}
	started := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	key := contract.Key{Saga: "order-42", Birth: contract.BirthOf(started), Step: "charge", Direction: direction}
	answer, err := p.Answer(context.Background(), &transport.Envelope{
		Subject: transport.Subjects{}.Command("payment", action), Type: transport.TypeCommand,
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: direction, Attempt: 1,
		ReplyTo: transport.Subjects{}.Event("payment", key, 1), Data: []byte(data),
	})
	if err != nil {
		panic(err)
	}
	words := []any{strings.TrimSuffix(strings.TrimPrefix(answer.Type, "dev.amends."), ".v1")}
	if answer.Final {
		words = append(words, "for good")
	}
	if text := string(answer.Data) + answer.Reason; text != "" {
		words = append(words, text)
	}
	fmt.Println(words...)
}
