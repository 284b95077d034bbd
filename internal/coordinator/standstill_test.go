package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// forgetful is a store whose definitions cannot be read.
type forgetful struct{ *memstore.Store }

func (forgetful) Definitions(context.Context) ([]store.Definition, error) { return nil, nil }

// A saga whose definition is missing makes no progress. It is reported once, and continues when the
// definition is registered again.
func TestDefinitionIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		cl := client.New(w.bus)
		if _, err := cl.Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
			t.Fatal(err)
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		var said notes
		c, err := coordinator.New(coordinator.Config{Store: forgetful{w.store}, Bus: w.bus, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
		time.Sleep(time.Minute) // virtual: the attempt has timed out long ago
		synctest.Wait()
		if n := strings.Count(said.String(), "a saga is blocked"); n != 1 {
			t.Errorf("it is spoken of %d times, want once: %.300s", n, said.String())
		}
		blocked := func(want int) {
			t.Helper()
			if s, err := c.Stats(t.Context()); err != nil || s.Blocked != want {
				t.Errorf("%d sagas are blocked, want %d; %v", s.Blocked, want, err)
			}
		}
		blocked(1)
		for _, method := range []string{"get", "wait"} { // everything that is readable is shown
			var s api.Saga
			if e := w.asks(method, "s1", "", &s); e.Code != "" || s.Phase != contract.PhaseRunning || s.Input == nil || string(s.Input.JSON) != `{"sku":"tea"}` || !strings.Contains(s.Problem, "unknown definition") {
				t.Errorf("%s: %s %s, %+v", method, e.Code, e.Reason, s)
			}
		}
		var history api.HistoryResponse
		if e := w.asks("history", "s1", `{"withSaga":true}`, &history); e.Code != "" || len(history.Events) == 0 || history.Events[0].Type != "started" || !strings.Contains(history.Events[0].Problem, "unknown definition") {
			t.Errorf("history: %s %s, %+v", e.Code, e.Reason, history.Events)
		}
		w.services()
		if err := c.Register(t.Context(), checkout); err != nil {
			t.Fatal(err)
		}
		blocked(0) // at once, whether the saga is due or not
		s, err := cl.Wait(t.Context(), "s1")
		if err != nil || s.Phase != contract.PhaseCompleted {
			t.Errorf("after the definition came back: %+v, %v", s, err)
		}
		blocked(0)
	})
}

// rotten is a store in which one saga cannot be read.
type rotten struct {
	*memstore.Store
	id atomic.Pointer[contract.SagaID]
}

func (r *rotten) Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error) {
	if sick := r.id.Load(); sick != nil && *sick == id {
		return nil, &store.CorruptError{What: "record of saga " + string(id), Why: "its checksum is wrong"}
	}
	return r.Store.Load(ctx, id)
}

// A saga whose record is damaged is counted and named until it can be read. It delays no other
// saga.
func TestRecordIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		cl := client.New(w.bus)
		for _, id := range []contract.SagaID{"sick", "well"} {
			if _, err := cl.Start(t.Context(), checkout, order{"tea"}, client.ID(id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		disk := &rotten{Store: w.store}
		sick := contract.SagaID("sick")
		disk.id.Store(&sick)
		c, err := coordinator.New(coordinator.Config{Store: disk, Bus: w.bus, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
		time.Sleep(6 * time.Second) // virtual: the first attempts have timed out
		blocked := func(want ...api.BlockedSaga) {
			t.Helper()
			o := w.overview()
			for i := range o.BlockedSagas {
				o.BlockedSagas[i].Since = time.Time{}
			}
			if o.Blocked != len(want) || !slices.Equal(o.BlockedSagas, want) {
				t.Errorf("the overview tells of %d: %v; want %v", o.Blocked, o.BlockedSagas, want)
			}
		}
		blocked(api.BlockedSaga{ID: "sick", Reason: "load saga sick: damaged record: record of saga sick: its checksum is wrong"})
		w.services()
		if s, err := cl.Wait(t.Context(), "well"); err != nil || s.Phase != contract.PhaseCompleted {
			t.Errorf("the other saga: %+v, %v", s, err)
		}
		disk.id.Store(nil)
		if _, err := cl.Cancel(t.Context(), "sick", api.Decision{By: "ada", Reason: "nobody wants it"}); err != nil {
			t.Error(err)
		}
		blocked()
	})
}

// slow is like checkout with a long timeout, so that a standstill lasts long enough to be seen.
var slow = saga.MustDefine[order]("slow", saga.Timeout(time.Hour),
	saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)),
	saga.Compensable("charge", saga.Do(charge), saga.Undo(refund)))

// row describes a row of the table in docs/OPERATING.md: a standstill, and how it is reported.
type row struct {
	name  string
	stand func(*stage)     // causes the standstill
	sagas int              // number of sagas of slow started then
	also  *saga.Definition // another definition, of which as many sagas are started
	late  bool             // whether the sagas are started after the bus was checked
	quick bool             // start sagas of checkout instead, whose attempts time out after five seconds
	owned bool             // whether the prefix is claimed
	kind  api.StandstillKind
	of    string   // the object
	stops bool     // whether it stops all sagas, so that the coordinator is not ready
	words []string // words in the reason and the fix
	again func(*stage)
}

func rows() []row {
	return []row{
		{
			name: "the bus is away", stand: func(s *stage) { s.check = errors.New("NATS: not connected") }, again: func(s *stage) { s.check = nil },
			kind: api.StandstillBus, stops: true, words: []string{"not connected", "doctor"},
		},
		{
			name: "the bus hangs", stand: func(s *stage) { s.hang = make(chan struct{}) }, again: func(s *stage) { close(s.hang); s.hang = nil },
			kind: api.StandstillBus, stops: true, words: []string{"has not answered for"},
		},
		{
			name: "the stream of commands is not as it should be", stand: streamIs(transport.StreamCommands), again: func(s *stage) { s.check = nil },
			kind: api.StandstillBus, of: "commands", stops: true, words: []string{"no leader", "doctor"},
		},
		{
			name: "the stream of answers is not as it should be", stand: streamIs(transport.StreamLifecycle, transport.StreamEvents), again: func(s *stage) { s.check = nil },
			kind: api.StandstillBus, of: "events", stops: true, words: []string{"no leader", "doctor"},
		},
		{
			name: "the stream of announcements is not as it should be", stand: streamIs(transport.StreamLifecycle), again: func(s *stage) { s.check = nil },
			kind: api.StandstillLifecycle, words: []string{"no leader", "sagas continue"},
		},
		{
			name: "the stream of dead letters is not as it should be", stand: streamIs(transport.StreamDeadLetters), again: func(s *stage) { s.check = nil },
			kind: api.StandstillBus, of: "dead-letters", words: []string{"no leader", "doctor"},
		},
		{
			// A faulty stream does not hide a participant that receives nothing.
			name: "a participant is away, and a stream not as it should be", again: func(s *stage) { s.load, s.check = transport.Load{}, nil },
			stand: func(s *stage) {
				consumer(transport.StreamCommands, transport.ConsumerLoad{Name: "stock", Pending: 3, MaxInFlight: 10})(s)
				streamIs(transport.StreamDeadLetters)(s)
			},
			kind: api.StandstillParticipant, of: "stock", words: []string{"no client has requested any"},
		},
		{
			name: "the bus does not report its load", stand: func(s *stage) { s.unload = errors.New("no permission") }, again: func(s *stage) { s.unload = nil },
			kind: api.StandstillBus, of: "load", words: []string{"does not report its load", "no permission"},
		},
		{
			name: "the claim cannot be confirmed", owned: true, stand: func(s *stage) { s.unsure = errors.New("away") }, again: func(s *stage) { s.unsure = nil }, sagas: 1,
			kind: api.StandstillOwner, stops: true, words: []string{"could not be confirmed", "starts are accepted"},
		},
		{
			name: "the coordinator's consumer is gone", stand: func(s *stage) { s.gone = true }, again: func(s *stage) { s.gone = false },
			kind: api.StandstillAnswers, stops: true, words: []string{"consumer coordinator is missing", "create consumers"},
		},
		{
			name: "the store takes nothing", stand: func(s *stage) { s.full = errors.New("3 MiB left") }, again: func(s *stage) { s.full = nil },
			kind: api.StandstillStore, stops: true, words: []string{"3 MiB left", "make room"},
		},
		{
			name: "the store hangs", stand: func(s *stage) { s.slow = make(chan struct{}) }, again: func(s *stage) { close(s.slow); s.slow = nil },
			kind: api.StandstillStore, stops: true, words: []string{"has not answered for"},
		},
		{
			name: "a commit hangs", stand: func(s *stage) { s.commit = make(chan struct{}) }, again: func(s *stage) { close(s.commit); s.commit = nil }, sagas: 1,
			kind: api.StandstillShard, of: "1", stops: true, words: []string{"processing one batch", "disk"},
		},
		{
			name: "timers are late", stand: func(s *stage) { s.asleep = true; busRefuses("stock")(s) }, again: func(s *stage) { s.asleep = false; s.refuse = nil }, sagas: 2, quick: true,
			kind: api.StandstillTimers, words: []string{"2 sagas were due"},
		},
		{
			name: "the coordinator's consumer is paused", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.StreamEvents, transport.ConsumerLoad{StreamName: "SAGA_EVENTS", Name: "coordinator", Paused: true, Pending: 7}),
			kind:  api.StandstillAnswers, stops: true, words: []string{"is paused", "7 answers wait", "nats consumer resume SAGA_EVENTS coordinator"},
		},
		{
			name: "the coordinator's consumer is clogged", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.StreamEvents, transport.ConsumerLoad{Name: "coordinator", Pending: 7, InFlight: 100, RawInFlight: 100, MaxInFlight: 100}),
			kind:  api.StandstillAnswers, stops: true, words: []string{"none of them is being acknowledged"},
		},
		{
			name: "the coordinator is given no answers", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.StreamEvents, transport.ConsumerLoad{Name: "coordinator", Pending: 7, MaxInFlight: 100}),
			kind:  api.StandstillAnswers, stops: true, words: []string{"has delivered none for"},
		},
		{
			name: "one participant's commands are refused", stand: busRefuses("bank"), again: func(s *stage) { s.refuse = nil }, sagas: 1,
			kind: api.StandstillCommands, of: "bank", words: []string{"does not accept these commands", "waiting: 1", "full"},
		},
		{
			name: "a participant has used up its share", again: func(s *stage) { s.load = transport.Load{} }, sagas: 3, late: true,
			// The messages on the bus leave no room for a second command.
			stand: func(s *stage) {
				s.load = transport.Load{
					Streams:   map[transport.Stream]transport.StreamLoad{transport.StreamCommands: {Limit: 1000, Bytes: 999}},
					Commands:  map[string]uint64{"stock": 1},
					Consumers: []transport.ConsumerLoad{{Stream: transport.StreamCommands, Name: "stock", InFlight: 1, RawInFlight: 1, MaxInFlight: 10}},
				}
			},
			kind: api.StandstillParticipant, of: "stock", words: []string{"the limit of one participant", "start the service"},
		},
		{
			name: "announcements are refused", stand: busRefuses("lifecycle"), again: func(s *stage) { s.refuse = nil }, sagas: 1,
			kind: api.StandstillLifecycle, words: []string{"does not accept announcements", "sagas continue"},
		},
		{
			name: "a participant's consumer is paused", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.StreamCommands, transport.ConsumerLoad{StreamName: "SAGA_COMMANDS", Name: "stock", Paused: true, Pending: 3}),
			kind:  api.StandstillParticipant, of: "stock", words: []string{"its consumer is paused", "3 commands", "nats consumer resume SAGA_COMMANDS stock"},
		},
		{
			name: "a participant is away", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.StreamCommands, transport.ConsumerLoad{Name: "stock", Pending: 3, MaxInFlight: 10}),
			kind:  api.StandstillParticipant, of: "stock", words: []string{"no client has requested any", "start the service"},
		},
		{
			name: "a participant acknowledges nothing", again: func(s *stage) { s.load = transport.Load{} },
			// Its next pull request waits until the participant has acknowledged a message.
			stand: consumer(transport.StreamCommands, transport.ConsumerLoad{Name: "stock", Pending: 3, InFlight: 10, RawInFlight: 10, MaxInFlight: 10, Asking: 1}),
			kind:  api.StandstillParticipant, of: "stock", words: []string{"acknowledged none"},
		},
		{
			name: "a participant is given nothing", again: func(s *stage) { s.load = transport.Load{} },
			// Two of its bundles are in flight.
			stand: consumer(transport.StreamCommands, transport.ConsumerLoad{Name: "stock", Pending: 3, InFlight: 200, RawInFlight: 2, MaxInFlight: 10, Asking: 1}),
			kind:  api.StandstillParticipant, of: "stock", words: []string{"it requests more", "delivered none"},
		},
		{
			name: "a participant was never there", again: func(s *stage) { s.load = transport.Load{} },
			stand: func(s *stage) { s.load = transport.Load{Commands: map[string]uint64{"stock": 4}} },
			kind:  api.StandstillParticipant, of: "stock", words: []string{"4 commands", "never subscribed"},
		},
	}
}

// TestStandstills checks each row of the table: the standstill is reported, with the fix, in
// readiness, in the log, and in the data for metrics, overview and doctor. It disappears when it is
// over.
func TestStandstills(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { r.try(t) })
		})
	}
}

// notes holds the lines of a logger, and can be read concurrently.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func (r *row) try(t *testing.T) {
	var said notes
	s, started := newStage(), time.Now()
	w := &fixture{t: t, bus: s.Bus, store: s.store, decide: func(string, int) error { return nil }}
	w.services()
	if r.owned {
		s.owned = ownership.New(ownership.Config{
			Registry: &registry{s: s}, Store: s.store, Me: ownership.Claim{Incarnation: "one", Host: "here"}, Clock: func() time.Duration { return time.Since(started) }, Now: time.Now,
		})
	}
	c, err := coordinator.New(coordinator.Config{
		Owner: s.owned,
		Bus:   s, Store: stagedStore{s.store, s}, Definitions: []*saga.Definition{checkout, slow, paid},
		Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelInfo})), Secret: []byte("secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.stopServices()
		s.Bus.Close()
	}()
	// Time is virtual here too, so no answer has arrived for a minute. All reads below happen
	// between two checks, and see the result of the same check.
	time.Sleep(time.Minute + time.Second/2)
	if err := c.Ready(ctx); err != nil || len(c.Standstills()) != 0 {
		t.Fatalf("before: %v, %v", err, c.Standstills())
	}
	began := time.Now()
	s.set(r.stand)
	if r.late {
		time.Sleep(10 * time.Second)
	}
	def := slow
	if r.quick {
		def = checkout
	}
	for _, def := range []*saga.Definition{def, r.also} {
		for n := range r.sagas {
			if def == nil {
				break
			}
			go func() { // a commit that hangs is answered later
				_, _ = client.New(s.Bus).Start(ctx, def, order{"tea"}, client.ID(contract.SagaID(fmt.Sprint(def.Ref().Name, n))))
			}()
		}
	}
	time.Sleep(50 * time.Second)
	r.shows(t, c, said.String(), began)
	if r.owned {
		namesOwner(t, c, false, s.unsure.Error())
	}
	s.set(r.again)
	time.Sleep(time.Minute)
	if r.owned {
		namesOwner(t, c, true, "")
	}
	if err := c.Ready(ctx); err != nil || len(c.Standstills()) != 0 {
		t.Errorf("afterwards: %v, %v", err, c.Standstills())
	}
	if !strings.Contains(said.String(), `msg="standstill over" kind=`+string(r.kind)) {
		t.Errorf("the log does not say that it is over:\n%s", &said)
	}
}

// namesOwner checks that the overview names this store as the owner, whether its ownership is
// confirmed, and what it waits for.
func namesOwner(t *testing.T, c *coordinator.Coordinator, confirmed bool, waiting string) {
	t.Helper()
	var response api.GetOverviewResponse
	reply := c.Handle(t.Context(), api.MethodGetOverview, &transport.Envelope{})
	err := json.Unmarshal(reply.Data, &response)
	o := response.Overview
	if err != nil || o == nil || o.Owner == nil {
		t.Fatalf("the overview is %s, %v", reply.Data, err)
	}
	claim := c.Owner().Claim
	got := o.Owner
	if !got.Ours || got.Confirmed != confirmed || !strings.Contains(got.Waiting, waiting) || (got.Waiting == "") != confirmed || got.Store != claim.Store || got.Claim != claim.Number || got.Host != "here" || got.LastConfirmed.IsZero() {
		t.Errorf("the owner is %+v, want confirmed: %t, waiting for %q", got, confirmed, waiting)
	}
}

// shows compares all reports of a standstill with its row.
func (r *row) shows(t *testing.T, c *coordinator.Coordinator, log string, began time.Time) {
	t.Helper()
	var one *api.Standstill
	list := c.Standstills()
	for i := range list {
		if list[i].Kind == r.kind && list[i].Object == r.of {
			one = &list[i]
		}
	}
	if one == nil {
		t.Fatalf("there stands %v, want %s %s", list, r.kind, r.of)
	}
	for _, word := range r.words {
		if !strings.Contains(one.Reason+" "+one.Fix, word) {
			t.Errorf("%q does not say %q", one.String(), word)
		}
	}
	if late := one.Since.Sub(began); one.Since.IsZero() || late < -time.Minute || late > 45*time.Second {
		t.Errorf("since %s, and it began %s", one.Since, began)
	}
	err := c.Ready(t.Context())
	if one.Stops != r.stops || (err != nil) != r.stops || r.stops && !strings.Contains(err.Error(), one.Reason) {
		t.Errorf("stops: %t, ready: %v; want stops: %t", one.Stops, err, r.stops)
	}
	if !strings.Contains(log, "level=WARN msg=standstill kind="+string(r.kind)) {
		t.Errorf("the log does not say so:\n%s", log)
	}
	stats, err := c.Stats(t.Context())
	if err != nil || len(stats.Standstills) != len(list) {
		t.Errorf("metrics are made of %v, %v", stats.Standstills, err)
	}
}

// TestEveryKindHasARow checks that the kinds, the tested rows and the table for operators agree.
// Blocked sagas and a clock that was set have their own tests (TestDefinitionIsGone,
// TestRetentionWaitsAfterAStep).
func TestEveryKindHasARow(t *testing.T) {
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[api.StandstillKind]bool{api.StandstillSagas: true, api.StandstillRetention: true}
	for _, r := range rows() {
		tried[r.kind] = true
	}
	for _, kind := range api.StandstillKinds {
		if !tried[kind] {
			t.Errorf("nothing brings %s about", kind)
		}
		if !strings.Contains(string(page), "| `"+string(kind)+"` |") {
			t.Errorf("docs/OPERATING.md has no row for %s", kind)
		}
	}
}
