package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
)

const (
	// filledPeriod is the age of the oldest saga that fillStore writes.
	filledPeriod = 60 * 24 * time.Hour
	// filledAtOnce is the number of sagas in one commit.
	filledAtOnce = 8192
	// farOff is the remaining wait of an open saga that fillStore writes.
	farOff = 30 * 24 * time.Hour
)

// later is the checkout with a first step whose second attempt is far off, so that its saga waits
// for a timer.
var later = saga.MustDefine[order]("checkout-later",
	saga.Compensable("reserve-inventory", saga.Do(reserve, saga.Retry(10, farOff, farOff)), saga.Undo(release)),
	saga.Compensable("charge-payment", saga.Do(charge), saga.Undo(refund)),
	saga.Pivot("create-shipment", saga.Do(ship)),
	saga.Retriable("confirm-order", saga.Do(confirm)))

// said is a store that behaves as if the bus had accepted every message at once: it stores no
// outbox entries.
type said struct{ store.Store }

// Commit commits without outbox entries.
func (s said) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	for i := range changes {
		changes[i].Enqueue, changes[i].Discard = nil, nil
	}
	return s.Store.Commit(ctx, changes)
}

// fillStore creates the store at path with ended sagas and with sagas that wait for a timer. Each
// saga passes through a coordinator's Engine with one commit per event, but many sagas share a
// commit.
func fillStore(ctx context.Context, path string, open, ended int, progress io.Writer) error {
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	engine, err := coordinator.NewEngine(ctx, said{s}, transport.Subjects{}, []byte("filled in"), filledAtOnce)
	if err != nil {
		return err
	}
	for _, d := range []*saga.Definition{checkout, later} {
		if err := engine.Register(ctx, d); err != nil {
			return err
		}
	}
	f := &filler{engine: engine, progress: progress, now: time.Now(), said: time.Now()}
	if err := f.all(ctx, "ended", ended, filledPeriod, checkout, endings); err != nil {
		return err
	}
	if err := f.all(ctx, "waiting", open, farOff/2, later, delays); err != nil {
		return err
	}
	return s.Close()
}

// filler fills a store.
type filler struct {
	engine   *coordinator.Engine
	progress io.Writer
	now      time.Time
	said     time.Time
}

// endings are the answers that complete a checkout. delays is the answer that makes a checkout
// wait.
var (
	endings = []machine.Event{
		answered("inventory", "reserve-inventory"), answered("payment", "charge-payment"),
		answered("shipping", "create-shipment"), answered("order", "confirm-order"),
	}
	delays = []machine.Event{{
		Type: contract.EventStepAnswered, Participant: "inventory", Step: "reserve-inventory", Direction: contract.DirectionDo, Attempt: 1,
		Outcome: contract.OutcomeFailed, Reason: "the warehouse counts its stock",
	}}
)

func answered(participant string, step contract.StepName) machine.Event {
	return machine.Event{
		Type: contract.EventStepAnswered, Participant: participant, Step: step, Direction: contract.DirectionDo, Attempt: 1,
		Outcome: contract.OutcomeCompleted, Payload: mustJSON(done{1, strings.Repeat("r", 60)}), ContentType: transport.JSON,
	}
}

// all starts n sagas, distributed over the period before now, and gives them the answers.
func (f *filler) all(ctx context.Context, what string, n int, period time.Duration, def *saga.Definition, answers []machine.Event) error {
	for from := 0; from < n; from += filledAtOnce {
		to := min(n, from+filledAtOnce)
		inputs := make([]coordinator.Input, 0, to-from)
		for i := from; i < to; i++ {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			at := f.now.Add(-period + time.Duration(float64(period)*float64(i)/float64(n)))
			inputs = append(inputs, coordinator.Input{
				Saga: contract.SagaID(id.String()), Definition: def.Ref(),
				Event: machine.Event{Type: contract.EventStarted, At: at, ID: contract.SagaID(id.String()), Payload: mustJSON(input(int64(i))), ContentType: transport.JSON},
			})
		}
		if err := f.step(ctx, inputs); err != nil {
			return err
		}
		for _, answer := range answers {
			for i := range inputs {
				answer.At = inputs[i].Event.At.Add(10 * time.Millisecond)
				inputs[i].Event = answer
			}
			if err := f.step(ctx, inputs); err != nil {
				return err
			}
		}
		if time.Since(f.said) > time.Second || to == n {
			f.said = time.Now()
			_, _ = fmt.Fprintf(f.progress, "filling the store: %d of %d %s\n", to, n, what)
		}
	}
	return nil
}

// step commits one event of each saga.
func (f *filler) step(ctx context.Context, inputs []coordinator.Input) error {
	out, err := f.engine.Step(ctx, inputs)
	if err != nil {
		return err
	}
	for i, r := range out.Results {
		if r.Err != nil {
			return r.Err
		}
		if r.Ignored != "" {
			return fmt.Errorf("saga %s ignored the event %s: %s", inputs[i].Saga, inputs[i].Event.Type, r.Ignored)
		}
	}
	return nil
}
