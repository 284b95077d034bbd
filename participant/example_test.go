package participant_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
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

	SendInvoice = contract.NewCommand[string, struct{}]("payment", "send-invoice")
)

// A handler returns the result of its step. A service with a database uses the inbox of package
// sqlinbox or boltinbox. The handler's writes and the answer are then committed together.
func ExampleHandle() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(_ context.Context, tx *participant.MemoryTx, c Charge) (Receipt, error) {
		tx.OnCommit(func() { fmt.Println("charged", c.Cents) })
		return Receipt{"r-1"}, nil
	})
	command := participanttest.NewCommand(ChargeCard, Charge{"4111", 500})
	ask(p, command)
	ask(p, command) // redelivered: answered, but not charged again
	// Output:
	// charged 500
	// completed {"number":"r-1"}
	// completed {"number":"r-1"}
}

// The handler of a command without a result returns only an error.
func ExampleNoResult() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, SendInvoice, participant.NoResult(func(_ context.Context, _ *participant.MemoryTx, to string) error {
		fmt.Println("an invoice for", to)
		return nil
	}))
	ask(p, participanttest.NewCommand(SendInvoice, "ada"))
	// Output:
	// an invoice for ada
	// completed {}
}

// The undo of a step gets the request of the do and, if known, its result.
func ExampleHandleUndo() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{"r-1"}, nil
	})
	participant.HandleUndo(p, RefundCard, func(_ context.Context, _ *participant.MemoryTx, u contract.Undo[Charge, Receipt]) error {
		fmt.Println("refund", u.Request.Cents, "of", u.Result.Number)
		return nil
	})
	do := participanttest.NewCommand(ChargeCard, Charge{"4111", 500})
	answer := ask(p, do)
	ask(p, participanttest.NewUndo(RefundCard, do, answer))
	// Output:
	// completed {"number":"r-1"}
	// refund 500 of r-1
	// completed
}

// A step that only reads has nothing to undo.
func ExampleNoUndo() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{}, nil
	})
	participant.HandleUndo(p, RefundCard, participant.NoUndo)
	do := participanttest.NewCommand(ChargeCard, Charge{"4111", 0})
	ask(p, participanttest.NewUndo(RefundCard, do, ask(p, do)))
	// Output:
	// completed {"number":""}
	// completed
}

// A do with effects outside the transaction may fail after they have happened. Its undo is called
// nevertheless, and must find out whether they have.
func ExampleUndoUnrecorded() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{}, errors.New("the bank does not answer")
	})
	participant.HandleUndo(p, RefundCard, func(_ context.Context, _ *participant.MemoryTx, u contract.Undo[Charge, Receipt]) error {
		fmt.Println("ask the bank about", u.Request.Cents, "known result:", u.Result != nil)
		return nil
	}, participant.UndoUnrecorded())
	do := participanttest.NewCommand(ChargeCard, Charge{"4111", 500})
	ask(p, participanttest.NewUndo(RefundCard, do, ask(p, do)))
	// Output:
	// failed the bank does not answer
	// ask the bank about 500 known result: false
	// completed
}

// A rejection is a business decision: the step had no effect, and the saga compensates.
func ExampleReject() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(context.Context, *participant.MemoryTx, Charge) (Receipt, error) {
		return Receipt{}, participant.Reject("the card is expired")
	})
	ask(p, participanttest.NewCommand(ChargeCard, Charge{"4111", 500}))
	// Output:
	// rejected the card is expired
}

// Any other error is a failure. The step is retried as its definition specifies, unless retries are
// useless.
func ExampleFatal() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, func(_ context.Context, _ *participant.MemoryTx, c Charge) (Receipt, error) {
		if c.Card == "" {
			return Receipt{}, participant.Fatal(errors.New("there is no card"))
		}
		return Receipt{}, errors.New("the bank does not answer")
	})
	ask(p, participanttest.NewCommand(ChargeCard, Charge{"4111", 500}))
	ask(p, participanttest.NewCommand(ChargeCard, Charge{Cents: 500}))
	// Output:
	// failed the bank does not answer
	// failed for good there is no card
}

// The idempotency key is the same for all attempts of a step. Pass it to external systems.
func ExampleKeyFrom() {
	p := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(p, ChargeCard, charge)
	command := participanttest.NewCommand(ChargeCard, Charge{"4111", 500})
	command.Saga, command.Birth, command.Step = "order-42", 1795262300125000, "charge"
	command.ReplyTo = transport.Subjects{}.Event("payment", command.Key(), 1)
	ask(p, command)
	// Output:
	// Idempotency-Key: order-42/hod84571ag/charge/do
	// completed {"number":"r-1"}
}

// A test may call a handler directly, without an inbox.
func ExampleWithCommand() {
	command := participanttest.NewCommand(ChargeCard, Charge{"4111", 500})
	command.Saga, command.Birth, command.Step = "order-42", 1795262300125000, "charge"
	receipt, err := charge(participant.WithCommand(context.Background(), command), new(participant.MemoryTx), Charge{"4111", 500})
	fmt.Println(receipt.Number, err)
	// Output:
	// Idempotency-Key: order-42/hod84571ag/charge/do
	// r-1 <nil>
}

func charge(ctx context.Context, _ *participant.MemoryTx, _ Charge) (Receipt, error) {
	fmt.Println("Idempotency-Key:", participant.KeyFrom(ctx))
	return Receipt{"r-1"}, nil
}

// ask answers a command, and prints the answer.
func ask(p *participant.Participant[*participant.MemoryTx], command *transport.Envelope) *transport.Envelope {
	answer, err := p.Answer(context.Background(), command)
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
	return answer
}
