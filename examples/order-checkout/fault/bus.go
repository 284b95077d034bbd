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

// The cards that provoke faults.
const (
	Slow  = "test-slow"  // the answer to the first attempt comes when nobody waits for it any more
	Crash = "test-crash" // the service dies between its commit and its answer
	Twice = "test-twice" // the command is on the bus twice
	Late  = "test-late"  // the command arrives only after its undo
)

const (
	// slowness exceeds the timeout of charge-card and the wait behind it.
	slowness = 3 * time.Second
	// lookAgain is how often a command that is held back is looked at.
	lookAgain = 250 * time.Millisecond
	// holdLimit bounds how long a command is held back for an undo that may never
	// come, or that came before the service was restarted.
	holdLimit = 20 * time.Second
	// source marks the copies that this package has put on the bus.
	source = "/order-checkout/fault"
)

// Bus stands between a service and its bus.
type Bus struct {
	transport.Bus
	say func(saga contract.SagaID, what string)
	die func()

	alive   context.Context
	crash   context.CancelFunc
	delayed sync.WaitGroup

	mu    sync.Mutex
	plans map[string]string // what is going to happen to an answer, by its subject
	late  map[contract.SagaID]stage
}

// stage is how far a charge that arrives after its undo has come.
type stage int

const (
	held    stage = iota + 1 // held back
	undone                   // its undo was answered: it may come now
	refused                  // it came, and was refused
)

// New wraps a bus. say is told what goes wrong and when; die is called when the
// service is to crash: it ends the process, or returns, in which case the bus is
// dead from then on: nothing comes in and nothing goes out, not even an
// acknowledgement.
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

// Close waits for answers that are still delayed. It does not close the bus that
// was wrapped.
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
			b.say(answer.Saga, "the payment service dies: the money is taken, nobody was told")
			b.crash()
			b.die()
		case Slow:
			b.say(answer.Saga, "the money is taken, the answer is on its way for "+slowness.String())
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

// plan takes what is going to happen to an answer.
func (b *Bus) plan(answer transport.Envelope) (fault string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault = b.plans[answer.Subject]
	delete(b.plans, answer.Subject)
	switch {
	case answer.Direction == contract.DirectionUndo && b.late[answer.Saga] == held:
		b.late[answer.Saga] = undone
		b.say(answer.Saga, "the undo is there before the charge: nothing to give back, a tombstone is left")
	case answer.Type == transport.TypeRejected && b.late[answer.Saga] == undone:
		b.late[answer.Saga] = refused
		b.say(answer.Saga, "the charge arrives after its undo, and is refused")
	}
	return fault
}

// delay sends an answer later.
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
		b.say(answer.Saga, "the late answer arrives, nobody waits for it any more")
	})
}

// let decides what happens to a command on its way in, and reports whether the
// service gets it now.
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

// cardOf is the card that is to be charged; "" for any other command.
func cardOf(command *transport.Envelope) string {
	var charge checkout.Charge
	if strings.HasSuffix(command.Subject, "."+checkout.ChargeCard.Action()) {
		_ = json.Unmarshal(command.Data, &charge) // what is wrong with it, the participant will say
	}
	return charge.Card
}
