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
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
)

// storeFile is the name of the store on every disk.
const storeFile = "sagas.db"

// workers of a load; each has an Engine and sagas of its own.
const workers = 4

// trip is the definition of the load: every kind of step, and a parallel.
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

// storedTrip is trip as it is stored.
func storedTrip() store.Definition {
	d, err := store.DefinitionOf(trip())
	if err != nil {
		panic(err)
	}
	return d
}

// work is the process of the load: it moves sagas and says of each commit, once
// it is made, what it acknowledges:
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
		options.MapSize = 1 // the file grows in small steps
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

// pendingBy shares the commands that were pending before the cut out to the workers.
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

// worker plays participants, callers, bus and clock for its sagas.
type worker struct {
	store   store.Store
	name    string
	rng     *rand.Rand
	open    []outbox.Record // commands that may be answered
	say     interface{ WriteString(string) (int, error) }
	started int
	steps   atomic.Int64
}

// run goes on until the store breaks, or for some steps if given.
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

// inputs draws what happens next: starts, answers, answers again, wake-ups.
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
		if w.rng.IntN(8) != 0 { // else it is answered once more
			w.open[n] = w.open[len(w.open)-1]
			w.open = w.open[:len(w.open)-1]
		}
		inputs[i] = answer(&record, w.rng)
	}
	return inputs
}

// answer draws what becomes of a command.
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

// acknowledge says what is committed, and takes note of what is pending now.
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

// tidy does what relay and retention do: announcements of even revisions are
// discarded, and some sagas that ended are removed.
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

// digest tells two states apart.
func digest(in *machine.Instance) string {
	data, err := sagapb.MarshalInstance(in)
	if err != nil {
		panic(err) // it was stored
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
