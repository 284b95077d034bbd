package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newEngine(t *testing.T, s store.Store) *coordinator.Engine {
	t.Helper()
	e, err := coordinator.NewEngine(t.Context(), s, transport.Subjects{}, []byte("secret"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register(t.Context(), checkout); err != nil {
		t.Fatal(err)
	}
	return e
}

func start(id contract.SagaID) coordinator.Input {
	return coordinator.Input{Saga: id, Definition: contract.DefinitionRef{Name: "checkout"}, Event: machine.Event{
		Type: contract.EventStarted, At: noon, ID: id, Payload: []byte(`{"sku":"tea"}`), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
}

func completed(id contract.SagaID, participant string, step contract.StepName) coordinator.Input {
	return coordinator.Input{Saga: id, Event: machine.Event{
		Type: contract.EventStepAnswered, At: noon, Participant: participant, Step: step, Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(`{}`)}}
}

func step(t *testing.T, e *coordinator.Engine, inputs ...coordinator.Input) coordinator.Output {
	t.Helper()
	out, err := e.Step(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Results) != len(inputs) {
		t.Fatalf("%d results for %d inputs", len(out.Results), len(inputs))
	}
	return out
}

func pending(t *testing.T, s store.Store) (ids []string) {
	t.Helper()
	if err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		if r.Answered() {
			ids = append(ids, r.Envelope.ID)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}

// Most fields of a message can be derived from other data, and a store may omit them (outboxpb).
// For a saga's own messages, it then keeps at most half: their ids, reply subjects and sources have
// the form that can be derived.
func TestPendingIsMostlyAbridged(t *testing.T) {
	s := memstore.New()
	e := newEngine(t, s)
	step(t, e, start("order-4711"))
	step(t, e, completed("order-4711", "stock", "reserve"))
	n := 0
	if err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		n++
		long, err := outboxpb.MarshalRecord(&r)
		if err != nil {
			t.Fatal(err)
		}
		short, err := outboxpb.AppendAbridged(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{r.Envelope.ID, transport.CoordinatorSource, r.Envelope.Type} {
			if strings.Contains(string(short), word) {
				t.Errorf("%s is not left out of %s", word, r.ID)
			}
		}
		if r.Answered() && (2*len(short) > len(long) || strings.Contains(string(short), r.Envelope.ReplyTo)) {
			t.Errorf("%s: %d bytes of %d: %q", r.ID, len(short), len(long), short)
		}
		return true
	}); err != nil || n < 2 {
		t.Fatalf("%d records, want a command and an announcement (%v)", n, err)
	}
}

// Several sagas, and several events of one saga, in one batch are committed together. A record that
// is enqueued and discarded in the same batch is never stored.
func TestBatchIsOneCommit(t *testing.T) {
	s := memstore.New()
	commits := 0
	s.Hooks.Before = func([]store.Change) ([]error, error) { commits++; return nil, nil }
	e := newEngine(t, s)
	out := step(t, e, start("a"), start("b"), completed("a", "stock", "reserve"), start("a"), completed("c", "stock", "reserve"))
	if commits != 1 {
		t.Errorf("%d commits, want 1", commits)
	}
	if r := out.Results[3]; !r.Existed || r.Instance.ID != "a" {
		t.Errorf("the same start in one batch: %+v", r)
	}
	if err := out.Results[4].Err; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an answer for a saga that does not exist: %v", err)
	}
	if got, want := fmt.Sprint(pending(t, s)), "[a/heg02tzpc0/charge/do/1 b/heg02tzpc0/reserve/do/1]"; got != want {
		t.Errorf("pending %s, want %s", got, want)
	}
}

// The command has the attributes that docs/WIRE.md specifies.
func TestCommandEnvelope(t *testing.T) {
	e := newEngine(t, memstore.New())
	out := step(t, e, start("a"))
	if len(out.Enqueued) != 2 {
		t.Fatalf("pending %d messages, want a command and an announcement", len(out.Enqueued))
	}
	c, l := out.Enqueued[0].Envelope, out.Enqueued[1].Envelope
	if c.Subject != "saga.command.stock.reserve" || c.ReplyTo != "saga.event.stock.a.heg02tzpc0.reserve.do.1" || c.ID != "a/heg02tzpc0/reserve/do/1" ||
		c.Type != transport.TypeCommand || string(c.Data) != `{"sku":"tea"}` || !c.Expires.Equal(noon.Add(5*time.Second)) ||
		!strings.HasPrefix(c.TraceParent, "00-0af7") || c.Definition != checkout.Ref() {
		t.Errorf("command %+v", c)
	}
	if len(c.DedupID) != 32 || strings.Contains(c.DedupID, "a/") {
		t.Errorf("dedup id %q can be guessed", c.DedupID)
	}
	if l.Subject != "saga.lifecycle.checkout.running" || !strings.Contains(string(l.Data), `"phase":"running"`) {
		t.Errorf("announcement %s %s", l.Subject, l.Data)
	}
}

// The DedupID of a message is the same whichever engine computes it, and whatever that engine
// computed before. It cannot be guessed.
func TestDedupID(t *testing.T) {
	id := func(e *coordinator.Engine) string { return step(t, e, start("a")).Enqueued[0].Envelope.DedupID }
	one, other := newEngine(t, memstore.New()), newEngine(t, memstore.New())
	step(t, other, start("b"))
	if a, b := id(one), id(other); a != b {
		t.Errorf("the same command has the ids %s and %s", a, b)
	}
	stranger, err := coordinator.NewEngine(t.Context(), memstore.New(), transport.Subjects{}, []byte("another secret"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Register(t.Context(), checkout); err != nil {
		t.Fatal(err)
	}
	if id(newEngine(t, memstore.New())) == id(stranger) {
		t.Error("an engine with another secret makes the same id")
	}
}

// Only open sagas are cached: the input and results of a saga do not stay in memory after it ended.
func TestEndedIsNotRemembered(t *testing.T) {
	e := newEngine(t, memstore.New())
	remembered := func(out coordinator.Output) func() bool {
		is := weak.Make(out.Results[0].Instance)
		return func() bool {
			runtime.GC()
			return is.Value() != nil
		}
	}
	begun := remembered(step(t, e, start("a")))
	if !begun() {
		t.Error("an open saga is not remembered")
	}
	step(t, e, completed("a", "stock", "reserve"))
	charged := remembered(step(t, e, completed("a", "bank", "charge")))
	ended := remembered(step(t, e, completed("a", "post", "ship")))
	if ended() || charged() {
		t.Error("a saga that has ended is remembered")
	}
	if r := step(t, e, completed("a", "post", "ship")).Results[0]; r.Ignored == "" || r.Err != nil {
		t.Errorf("a late answer: %+v", r)
	}
}

// With two engines on one store, each with a stale cache, every event is applied once, whichever
// engine is first (I7).
func TestTwoEngines(t *testing.T) {
	s := memstore.New()
	a, b := newEngine(t, s), newEngine(t, s)
	step(t, a, start("x"))
	if r := step(t, b, start("x")).Results[0]; !r.Existed {
		t.Errorf("the other engine started it again: %+v", r)
	}
	step(t, a, completed("x", "stock", "reserve"))
	if r := step(t, b, completed("x", "stock", "reserve")).Results[0]; r.Ignored != machine.IgnoredDuplicate && !r.Existed {
		t.Errorf("the same answer at the other engine, whose cache is stale: %+v", r)
	}
	step(t, b, completed("x", "bank", "charge"))
	step(t, a, completed("x", "post", "ship"))
	in, err := s.Load(t.Context(), "x")
	if err != nil || in.Phase != contract.PhaseCompleted || in.Revision != 4 {
		t.Errorf("in the end: %+v, %v", in, err)
	}
}

// A conflict of one saga does not affect the other sagas of the batch, and does not repeat their
// decisions.
func TestConflictConcernsOneSaga(t *testing.T) {
	s := memstore.New()
	conflicts := 3
	s.Hooks.Before = func(changes []store.Change) ([]error, error) {
		results := make([]error, len(changes))
		for i := range changes {
			if changes[i].Instance.ID == "b" && conflicts > 0 {
				conflicts--
				results[i] = &store.ConflictError{Saga: "b"}
			}
		}
		return results, nil
	}
	e := newEngine(t, s)
	out := step(t, e, start("a"), start("b"), start("c"))
	for i, r := range out.Results {
		if r.Err != nil || r.Instance == nil || r.Instance.Revision != 1 {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if got := len(pending(t, s)); got != 3 {
		t.Errorf("%d commands pending, want 3", got)
	}
	conflicts = 1000
	if err := step(t, e, completed("b", "stock", "reserve")).Results[0].Err; !errors.Is(err, store.ErrConflict) {
		t.Errorf("a conflict without end: %v", err)
	}
}

// If the commit failed, nothing may be revealed (I1).
func TestBrokenCommit(t *testing.T) {
	s := memstore.New()
	s.Hooks.Before = func([]store.Change) ([]error, error) { return nil, errors.New("no space left on device") }
	e := newEngine(t, s)
	out, err := e.Step(context.Background(), []coordinator.Input{start("a")})
	if !errors.Is(err, store.ErrBroken) || len(out.Results)+len(out.Enqueued) > 0 {
		t.Errorf("a failed commit: %+v, %v", out, err)
	}
}

// A prefix that makes subjects too long is refused before anything is sent.
func TestConfigBoundsThePrefix(t *testing.T) {
	c := coordinator.Config{Subjects: transport.Subjects{Prefix: strings.Repeat("p", transport.MaxPrefix+1)}}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "coordinator.Config.Subjects: the prefix of subjects is 65 bytes long; at most 64") {
		t.Errorf("%v", err)
	}
}
