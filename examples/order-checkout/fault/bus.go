package fault

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/transport"
)

// Cards that cause faults.
const (
	Slow  = "test-slow"  // the first attempt is answered after its timeout
	Crash = "test-crash" // the service crashes between its commit and its answer
	Twice = "test-twice" // the command is published twice
	Late  = "test-late"  // the command arrives only after its undo
)

const (
	// slowness is longer than the timeout of charge-card and the backoff after it.
	slowness = 3 * time.Second
	// lookAgain is the interval between checks of a command that is held back.
	lookAgain = 250 * time.Millisecond
	// holdLimit limits how long a command is held back. Its undo may never come, or may have come
	// before a restart.
	holdLimit = 20 * time.Second
	// source marks the copies that this package publishes.
	source = "/order-checkout/fault"
)

// Bus wraps the bus of a service.
type Bus struct {
	transport.Bus
	say func(saga contract.SagaID, what string)
	die func()

	alive   context.Context
	crash   context.CancelFunc
	delayed sync.WaitGroup

	mu    sync.Mutex
	plans map[string]string // planned fault of each answer, by subject
	late  map[contract.SagaID]stage
}

// stage is the progress of a charge that must arrive after its undo.
type stage int

const (
	held    stage = iota + 1 // the charge is held back
	undone                   // its undo was answered, so the charge may be delivered
	refused                  // the charge was delivered and rejected
)

// New wraps a bus. It calls say for each fault, and die when the service must crash. If die returns
// instead of ending the process, the wrapper stops forwarding messages and acknowledgements.
func New(bus transport.Bus, say func(saga contract.SagaID, what string), die func()) *Bus {
	b := &Bus{
		Bus: bus, say: say, die: die,
		plans: map[string]string{}, late: map[contract.SagaID]stage{},
	}
	b.alive, b.crash = context.WithCancel(context.Background())
	return b
}

// Crashed reports whether the service was made to crash.
func (b *Bus) Crashed() bool { return b.alive.Err() != nil }

// Close waits for delayed answers. It does not close the wrapped bus.
func (b *Bus) Close() { b.delayed.Wait() }

// Subscribe implements transport.Bus.
func (b *Bus) Subscribe(ctx context.Context, s transport.Subscription) (transport.Source, error) {
	inner, err := b.Bus.Subscribe(ctx, s)
	if err != nil {
		return nil, err
	}
	return &faultySource{inner, b}, nil
}

// Publish implements transport.Bus.
func (b *Bus) Publish(ctx context.Context, batch []transport.Envelope) []error {
	send := make([]transport.Envelope, 0, len(batch))
	at := make([]int, 0, len(batch))
	for i, answer := range batch {
		switch b.plan(answer) {
		case Crash:
			b.say(answer.Saga, "the payment service dies after taking the money and before answering")
			b.crash()
			b.die()
		case Slow:
			b.say(answer.Saga, "the money is taken, but the answer is delayed for "+slowness.String())
			b.delay(answer)
			continue
		}
		send, at = append(send, answer), append(at, i)
	}
	if b.Crashed() {
		return slices.Repeat([]error{transport.ErrClosed}, len(batch))
	}
	errs := make([]error, len(batch))
	for i, err := range b.Bus.Publish(ctx, send) {
		errs[at[i]] = err
	}
	return errs
}

// plan removes and returns the fault planned for an answer.
func (b *Bus) plan(answer transport.Envelope) (fault string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault = b.plans[answer.Subject]
	delete(b.plans, answer.Subject)
	switch {
	case answer.Direction == contract.DirectionUndo && b.late[answer.Saga] == held:
		b.late[answer.Saga] = undone
		b.say(answer.Saga, "the undo arrives before the charge: there is nothing to give back, and a tombstone is stored")
	case answer.Type == transport.TypeRejected && b.late[answer.Saga] == undone:
		b.late[answer.Saga] = refused
		b.say(answer.Saga, "the charge arrives after its undo, and is refused")
	}
	return fault
}

// delay sends an answer after slowness has passed.
func (b *Bus) delay(answer transport.Envelope) {
	b.delayed.Go(func() {
		select {
		case <-time.After(slowness):
		case <-b.alive.Done():
			return
		}
		ctx, cancel := context.WithTimeout(b.alive, slowness)
		defer cancel()
		b.Bus.Publish(ctx, []transport.Envelope{answer})
		b.say(answer.Saga, "the late answer arrives, but nobody waits for it any more")
	})
}

// let applies the faults to an incoming command, and reports whether it is delivered to the service
// now.
func (b *Bus) let(ctx context.Context, d transport.Delivery) bool {
	command := d.Envelope()
	first := command.Attempt == 1 && d.Redeliveries() <= 0
	b.mu.Lock()
	defer b.mu.Unlock()
	switch card := cardOf(command); {
	case (card == Crash || card == Slow) && first:
		b.plans[command.ReplyTo] = card
	case card == Twice && first && command.Source != source:
		again := *command
		again.Source, again.DedupID = source, ""
		b.Bus.Publish(ctx, []transport.Envelope{again})
		b.say(command.Saga, "the charge is on the bus twice")
	case card == Late && b.late[command.Saga] < undone && time.Since(command.Time) < holdLimit:
		if b.late[command.Saga] != held {
			b.late[command.Saga] = held
			b.say(command.Saga, "the charge is held up somewhere on its way")
		}
		d.Nak(lookAgain)
		return false
	}
	return true
}

// cardOf returns the card of a charge, or "" for any other command.
func cardOf(command *transport.Envelope) string {
	var charge checkout.Charge
	if strings.HasSuffix(command.Subject, "."+checkout.ChargeCard.Action()) {
		_ = json.Unmarshal(command.Data, &charge) // the participant reports invalid data
	}
	return charge.Card
}
