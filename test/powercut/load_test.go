//go:build linux && lab

package powercut

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/transport"
)

// storeFile is the name of the store on every disk.
const storeFile = "sagas.db"

// small lets the state's file grow in small steps, and fills segments and writes checkpoints often.
var small = boltstore.Options{
	MapSize: 1, CheckpointSize: 128 << 10, CheckpointAge: 100 * time.Millisecond, Log: log.Options{SegmentSize: 64 << 10},
}

// workers is the number of workers of a load. Each has its own Engine and sagas.
const workers = 4

// trip is the definition of the load. It has every kind of step and a parallel.
func trip() *saga.Definition {
	ask := func(action string, attempts int) saga.Action {
		return saga.Action{Participant: "agency", Action: action, Retry: saga.RetryPolicy{Attempts: attempts}}
	}
	booking := func(name contract.StepName) saga.Node {
		undo := ask("cancel-"+string(name), 100)
		return saga.Node{Step: &saga.Step{Name: name, Kind: contract.KindCompensable, Do: ask("book-"+string(name), 3), Undo: &undo}}
	}
	def, err := saga.New(saga.Spec{Name: "trip", Version: 1, Steps: []saga.Node{
		booking("flight"),
		{Parallel: []saga.Node{booking("hotel"), booking("car")}},
		{Step: &saga.Step{Name: "pay", Kind: contract.KindPivot, Do: ask("pay", 5)}},
		{Step: &saga.Step{Name: "tell", Kind: contract.KindRetriable, Do: ask("tell", 100)}},
	}})
	if err != nil {
		panic(err)
	}
	return def
}

// storedTrip returns trip in its stored form.
func storedTrip() store.Definition {
	d, err := store.DefinitionOf(trip())
	if err != nil {
		panic(err)
	}
	return d
}

// work runs the load. It advances sagas, and after each commit prints what the commit acknowledges:
//
//	open                            the store is open
//	ack <saga> <revision> <digest>  a state
func work(dir, seed string) error {
	number, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	options := boltstore.Options{}
	if number%4 != 0 {
		options = small
	}
	s, err := boltstore.Open(filepath.Join(dir, storeFile), options)
	if err != nil {
		return err
	}
	fmt.Println("open")
	ctx := context.Background()
	queues, err := pendingBy(ctx, s)
	if err != nil {
		return err
	}
	if s.PutDefinition(ctx, storedTrip()) != nil {
		return errors.New("the definition was not taken")
	}
	var wg sync.WaitGroup
	failures := make(chan error, workers)
	for n := range workers {
		w := &worker{store: s, name: fmt.Sprintf("%s-%d", seed, n), rng: rngOf(number, strconv.Itoa(n)), open: queues[n], say: os.Stdout}
		wg.Go(func() { failures <- w.run(ctx, 0) })
	}
	wg.Wait()
	close(failures)
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	return err
}

// pendingBy assigns the commands that were pending before the cut to the workers.
func pendingBy(ctx context.Context, s store.Store) (queues [workers][]outbox.Record, err error) {
	err = outbox.All(ctx, s, func(_ outbox.Position, r outbox.Record) bool {
		if r.Answered() {
			h := fnv.New32()
			_, _ = h.Write([]byte(r.ID.Saga))
			n := h.Sum32() % workers
			queues[n] = append(queues[n], r)
		}
		return true
	})
	return queues, err
}

// worker simulates participants, callers, bus and clock for its sagas.
type worker struct {
	store   store.Store
	name    string
	rng     *rand.Rand
	open    []outbox.Record // commands that can be answered
	say     interface{ WriteString(string) (int, error) }
	started int
	steps   atomic.Int64
}

// run runs until the store fails, or for the given number of steps if it is not zero.
func (w *worker) run(ctx context.Context, steps int) error {
	engine, err := coordinator.NewEngine(ctx, w.store, transport.Subjects{}, []byte("secret"), 64)
	if err != nil {
		return err
	}
	for n := 0; steps == 0 || n < steps; n++ {
		inputs := w.inputs()
		out, err := engine.Step(ctx, inputs)
		if err != nil {
			return err
		}
		if err := w.acknowledge(inputs, &out); err != nil {
			return err
		}
		w.steps.Add(1)
		if err := w.tidy(ctx, &out); err != nil {
			return err
		}
	}
	return nil
}

// inputs draws the next inputs: starts, answers, repeated answers and timers.
func (w *worker) inputs() []coordinator.Input {
	inputs := make([]coordinator.Input, 1+w.rng.IntN(8))
	for i := range inputs {
		if len(w.open) == 0 || len(w.open) < 40 && w.rng.IntN(4) == 0 {
			w.started++
			id := contract.SagaID(fmt.Sprintf("s%s-%d", w.name, w.started))
			input := fmt.Appendf(nil, `{"note":%q}`, strings.Repeat("x", w.rng.IntN(2000)))
			inputs[i] = coordinator.Input{Saga: id, Definition: contract.DefinitionRef{Name: "trip", Version: 1}, Event: machine.Event{
				Type: contract.EventStarted, ID: id, At: time.Now(), Payload: input,
			}}
			continue
		}
		n := w.rng.IntN(len(w.open))
		record := w.open[n]
		if w.rng.IntN(8) != 0 { // otherwise it will be answered again
			w.open[n] = w.open[len(w.open)-1]
			w.open = w.open[:len(w.open)-1]
		}
		inputs[i] = answer(&record, w.rng)
	}
	return inputs
}

// answer draws the answer to a command, or a timer instead.
func answer(r *outbox.Record, rng *rand.Rand) coordinator.Input {
	e := &r.Envelope
	if rng.IntN(20) == 0 {
		return coordinator.Input{Saga: e.Saga, Event: machine.Event{Type: contract.EventTimerFired, At: time.Now().Add(time.Hour)}}
	}
	ev := machine.Event{
		Type: contract.EventStepAnswered, At: time.Now(), Participant: "agency", Step: e.Step, Direction: e.Direction, Attempt: e.Attempt,
		Outcome: contract.OutcomeCompleted, Payload: fmt.Appendf(nil, `{"of":%q}`, e.ID),
	}
	if e.Direction == contract.DirectionDo && rng.IntN(12) == 0 {
		ev.Outcome, ev.Payload, ev.Reason = contract.OutcomeRejected, nil, "sold out"
	}
	return coordinator.Input{Saga: e.Saga, Event: ev}
}

// acknowledge prints what is committed, and records the pending commands.
func (w *worker) acknowledge(inputs []coordinator.Input, out *coordinator.Output) error {
	var lines strings.Builder
	for i := range inputs {
		r := &out.Results[i]
		if r.Err != nil {
			return fmt.Errorf("saga %s: %w", inputs[i].Saga, r.Err)
		}
		if r.Instance != nil {
			fmt.Fprintf(&lines, "ack %s %d %s\n", r.Instance.ID, r.Instance.Revision, digest(r.Instance))
		}
	}
	for _, record := range out.Enqueued {
		if record.Answered() {
			w.open = append(w.open, record)
		}
	}
	_, err := w.say.WriteString(lines.String())
	return err
}

// tidy does the work of the relay and of retention: it discards announcements of even revisions,
// and removes some ended sagas.
func (w *worker) tidy(ctx context.Context, out *coordinator.Output) error {
	var sent []outbox.ID
	for _, r := range out.Enqueued {
		if !r.Answered() && r.ID.Revision%2 == 0 {
			sent = append(sent, r.ID)
		}
	}
	err := w.store.Discard(ctx, sent)
	if err == nil && w.rng.IntN(50) == 0 {
		_, _, err = w.store.Expire(ctx, time.Now().Add(-20*time.Millisecond), time.Time{}, 5)
	}
	return err
}

// digest returns a hash that distinguishes states.
func digest(in *machine.Instance) string {
	data, err := sagapb.MarshalInstance(in)
	if err != nil {
		panic(err) // cannot fail: it was stored
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
