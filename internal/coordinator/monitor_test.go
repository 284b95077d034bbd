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
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// stage is a bus and a store whose behaviour the test controls.
type stage struct {
	*membus.Bus
	store *memstore.Store
	owned *ownership.Keeper // nil if nobody claims the prefix

	mu      sync.Mutex
	unsure  error // the error of the claim's registry
	refuse  func(transport.Stream, *transport.Envelope) error
	check   error
	hang    chan struct{} // if not nil, Check blocks on it
	load    transport.Load
	unload  error                 // the error of Load
	wordy   chan struct{}         // if not nil, Load blocks on it
	moves   func(*transport.Load) // changes the result from one Load to the next
	gone    bool                  // whether the coordinator's consumer is missing
	full    error                 // the error of the store's Check
	slow    chan struct{}         // if not nil, the store's Check blocks on it
	commit  chan struct{}         // if not nil, commits block on it
	crawl   time.Duration         // how long a commit takes
	asleep  bool                  // whether Due reports no timers to the timekeeper
	missing bool                  // whether definitions are missing after a restart
}

func newStage() *stage {
	s := &stage{store: memstore.New()}
	s.Bus = membus.New(membus.Options{Fault: func(stream transport.Stream, e *transport.Envelope) membus.Fate {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refuse == nil {
			return membus.Fate{}
		}
		return membus.Fate{Refuse: s.refuse(stream, e)}
	}})
	return s
}

// set changes the stage under its lock.
func (s *stage) set(change func(*stage)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *stage) Check(context.Context) error {
	s.mu.Lock()
	err, hang := s.check, s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

func (s *stage) Load(context.Context) (transport.Load, error) {
	s.mu.Lock()
	wordy := s.wordy
	s.mu.Unlock()
	if wordy != nil {
		<-wordy
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moves != nil {
		s.moves(&s.load)
	}
	load := s.load
	load.Consumers = slices.Clone(load.Consumers)
	own := func(c transport.ConsumerLoad) bool { return c.Stream == transport.StreamEvents }
	if !s.gone && !slices.ContainsFunc(load.Consumers, own) {
		load.Consumers = append(load.Consumers, transport.ConsumerLoad{Stream: transport.StreamEvents, Name: s.consumer(), MaxInFlight: 100})
	}
	return load, s.unload
}

// consumer returns the name of the coordinator's subscription.
func (s *stage) consumer() string {
	if s.owned == nil {
		return "coordinator"
	}
	claim := s.owned.Status().Claim
	return fmt.Sprintf("coordinator-%s-%d", claim.Store, claim.Number)
}

// registry holds the claim of the last owner.
type registry struct {
	s     *stage
	entry ownership.Entry
}

func (r *registry) away() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.unsure
}

func (r *registry) Read(context.Context) (ownership.Entry, error)     { return r.entry, r.away() }
func (r *registry) Confirm(context.Context, ownership.Position) error { return r.away() }
func (r *registry) Fences() bool                                      { return true }
func (r *registry) ConfirmNow() <-chan struct{}                       { return nil }

func (r *registry) Write(_ context.Context, c *ownership.Claim, _ ownership.Position) (ownership.Position, error) {
	if err := r.away(); err != nil {
		return ownership.Position{}, err
	}
	r.entry.Claim = c
	r.entry.At.Sequence++
	return r.entry.At, nil
}

// stagedStore is the store of a stage.
type stagedStore struct {
	*memstore.Store
	s *stage
}

func (d stagedStore) Check(ctx context.Context) error {
	d.s.mu.Lock()
	err, slow := d.s.full, d.s.slow
	d.s.mu.Unlock()
	if slow != nil {
		<-slow
	}
	return err
}

func (d stagedStore) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	d.s.mu.Lock()
	wait, crawl := d.s.commit, d.s.crawl
	d.s.mu.Unlock()
	time.Sleep(crawl) // virtual
	if wait != nil {
		<-wait
	}
	return d.Store.Commit(ctx, changes)
}

// Due reports no sagas to the timekeeper while the stage is asleep. It recognises the timekeeper by
// its limit of about a thousand.
func (d stagedStore) Due(ctx context.Context, now time.Time, limit int) ([]contract.SagaID, time.Time, error) {
	d.s.mu.Lock()
	asleep := d.s.asleep
	d.s.mu.Unlock()
	if asleep && limit == 1024 {
		return nil, time.Time{}, nil
	}
	return d.Store.Due(ctx, now, limit)
}

func (d stagedStore) Definitions(ctx context.Context) ([]store.Definition, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.missing {
		return nil, nil
	}
	return d.Store.Definitions(ctx)
}

// consumer sets the bus's load to a single subscription.
func consumer(stream transport.Stream, c transport.ConsumerLoad) func(*stage) {
	c.Stream = stream
	return func(s *stage) { s.load = transport.Load{Consumers: []transport.ConsumerLoad{c}} }
}

// busRefuses makes the bus refuse announcements, or the commands of some participants.
func busRefuses(what ...string) func(*stage) {
	return func(s *stage) {
		s.refuse = func(stream transport.Stream, e *transport.Envelope) error {
			for _, one := range what {
				if string(stream) == one || strings.HasPrefix(e.Subject, "saga.command."+one+".") {
					return fmt.Errorf("%s: %w", one, transport.ErrFull)
				}
			}
			return nil
		}
	}
}

// streamIs makes the bus report that streams have no leader.
func streamIs(without ...transport.Stream) func(*stage) {
	return func(s *stage) {
		var errs []error
		for _, stream := range without {
			errs = append(errs, &transport.StreamError{Stream: stream, Err: fmt.Errorf("%s: no leader", stream)})
		}
		s.check = errors.Join(errs...)
	}
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

// TestStartedWhenReady checks that Started closes when the coordinator is ready, not when Run
// begins.
func TestStartedWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.set(func(s *stage) { s.check = errors.New("no route") })
		c, err := coordinator.New(coordinator.Config{Bus: s, Store: s.store, Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler), Secret: []byte("secret")})
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
			s.Bus.Close()
		}()
		time.Sleep(time.Minute) // virtual
		select {
		case <-c.Started():
			t.Error("it has started, and the bus is away")
		default:
		}
		s.set(func(s *stage) { s.check = nil })
		<-c.Started()
		if err := c.Ready(ctx); err != nil {
			t.Errorf("it has started: %v", err)
		}
	})
}

// TestBusIsAwayAndBack checks that an unreachable bus is noticed within five seconds, whatever else
// hangs, and that its return is noticed within a second.
func TestBusIsAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		c, err := coordinator.New(coordinator.Config{Bus: s, Store: s.store, Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler), Secret: []byte("secret")})
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
			s.Bus.Close()
		}()
		time.Sleep(time.Minute + time.Second/2) // virtual
		if err := c.Ready(ctx); err != nil {
			t.Fatalf("before: %v", err)
		}
		silent := make(chan struct{})
		s.set(func(s *stage) { s.check, s.wordy = errors.New("no route"), silent })
		time.Sleep(6 * time.Second) // virtual
		if err := c.Ready(ctx); err == nil || !strings.Contains(err.Error(), "no route") {
			t.Errorf("6 s after the bus has gone: %v", err)
		}
		time.Sleep(time.Minute) // virtual
		close(silent)
		s.set(func(s *stage) { s.check, s.wordy = nil, nil })
		time.Sleep(2 * time.Second) // virtual
		if err := c.Ready(ctx); err != nil {
			t.Errorf("2 s after it is back: %v", err)
		}
	})
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

// paid is slow with its steps in reverse order: bank is asked first.
var paid = saga.MustDefine[order]("paid", saga.Timeout(time.Hour),
	saga.Compensable("charge", saga.Do(charge), saga.Undo(refund)),
	saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)))

// TestRefusedByAll checks that no single participant is reported if the bus refuses all commands,
// and that the coordinator is not ready.
func TestRefusedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := row{
			name: "everybody's commands are refused", stand: busRefuses("stock", "bank"), again: func(s *stage) { s.refuse = nil }, sagas: 3, also: paid,
			kind: api.StandstillCommands, of: "bank", stops: true, words: []string{"waiting: 3"},
		}
		r.try(t)
	})
}

// watched returns a coordinator on a stage with all services. It runs until the test ends.
func watched(t *testing.T, s *stage, change ...func(*fixture)) *coordinator.Coordinator {
	t.Helper()
	w := &fixture{t: t, bus: s.Bus, store: s.store, decide: func(string, int) error { return nil }}
	for _, one := range change {
		one(w)
	}
	w.services()
	c, err := coordinator.New(coordinator.Config{
		Bus: s, Store: stagedStore{s.store, s}, Definitions: []*saga.Definition{checkout, slow, paid, shipped}, Logger: slog.New(slog.DiscardHandler),
		Shards: 1, MaxWaiting: 2, MaxBatch: 1, Secret: []byte("secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		w.stopServices()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Bus.Close()
	})
	return c
}

func begin(t *testing.T, s *stage, def *saga.Definition, id contract.SagaID) {
	t.Helper()
	if _, err := client.New(s.Bus).Start(t.Context(), def, order{"tea"}, client.ID(id)); err != nil {
		t.Fatal(err)
	}
}

// shipped needs a participant that no other definition needs.
var shipped = saga.MustDefine[order]("shipped", saga.Timeout(time.Hour), saga.Retriable("ship", saga.Do(ship)))

// TestTwoStrangersAreRefused checks that the coordinator stays ready while the bus refuses the
// commands of two participants, if it has accepted a command of a third participant after the first
// refusals. One accepted command is enough.
func TestTwoStrangersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		c := watched(t, s)
		s.set(busRefuses("stock", "bank"))
		begin(t, s, slow, "a")
		begin(t, s, paid, "b")
		time.Sleep(5 * time.Second) // virtual
		begin(t, s, shipped, "c")
		for range 60 {
			time.Sleep(time.Second)
			if err := c.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if list := c.Standstills(); len(list) != 2 || list[0].Kind != api.StandstillCommands || list[1].Kind != api.StandstillCommands {
			t.Errorf("there stands %v", list)
		}
	})
}

// TestBusyIsNoStandstill checks that a participant that receives and acknowledges commands is not
// reported as stuck, however many commands wait and however rarely a pull request is seen. Nor is a
// coordinator that has just received its first answer for a long time.
func TestBusyIsNoStandstill(t *testing.T) {
	for name, moves := range map[string]func(*transport.ConsumerLoad){
		"it is given commands":         func(c *transport.ConsumerLoad) { c.Last++ },
		"it acknowledges":              func(c *transport.ConsumerLoad) { c.AckFloor++ },
		"it acknowledges out of order": func(c *transport.ConsumerLoad) { c.RawInFlight = 19 - c.RawInFlight },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				c := watched(t, s)
				s.set(consumer(transport.StreamCommands, transport.ConsumerLoad{Name: "stock", Pending: 1000, InFlight: 10, RawInFlight: 10, MaxInFlight: 10}))
				s.set(func(s *stage) { s.moves = func(l *transport.Load) { moves(&l.Consumers[0]) } })
				for range 60 {
					time.Sleep(time.Second)
					if list := c.Standstills(); len(list) > 0 {
						t.Fatal(list)
					}
				}
			})
		})
	}
	t.Run("its consumer is recreated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			c := watched(t, s)
			for _, gone := range []bool{true, false, true, false} { // twice: each absence is measured on its own
				s.set(func(s *stage) { s.gone = gone })
				for range 8 {
					time.Sleep(time.Second)
					if list := c.Standstills(); len(list) > 0 {
						t.Fatal(list)
					}
				}
			}
		})
	})
	t.Run("an answer comes after a long time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			c := watched(t, s)
			s.set(consumer(transport.StreamEvents, transport.ConsumerLoad{Name: "coordinator", Pending: 7, InFlight: 100, RawInFlight: 100, MaxInFlight: 100}))
			ready := func(how string) { // until its predecessor's answers have been redelivered, and a little longer
				t.Helper()
				for range 18 {
					time.Sleep(time.Second)
					if err := c.Ready(t.Context()); err != nil {
						t.Fatalf("%s: %v", how, err)
					}
				}
			}
			time.Sleep(time.Second) // virtual: until it has checked
			ready("at the start")
			s.set(func(s *stage) { s.load = transport.Load{} })
			time.Sleep(time.Hour)
			s.set(consumer(transport.StreamEvents, transport.ConsumerLoad{Name: "coordinator", Pending: 1, MaxInFlight: 100}))
			ready("after an hour")
		})
	})
}

// TestMoreThanAreListed checks that participants beyond the number that a bus lists are not
// reported as never seen.
func TestMoreThanAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		c := watched(t, s)
		s.set(func(s *stage) {
			s.gone = true
			s.load = transport.Load{
				Commands: map[string]uint64{"stock": 4},
				Streams:  map[transport.Stream]transport.StreamLoad{transport.StreamCommands: {Cut: true}, transport.StreamEvents: {Cut: true}},
			}
		})
		time.Sleep(time.Minute)
		if list := c.Standstills(); len(list) > 0 {
			t.Error(list)
		}
	})
}

// TestAnswersWaitAtTheirShard checks that if the receiver waits for a shard, the shard is reported
// and not the consumer.
func TestAnswersWaitAtTheirShard(t *testing.T) {
	// answering starts six sagas whose answers arrive after the store has become slow.
	answering := func(t *testing.T, slower func(*stage)) (*stage, *coordinator.Coordinator) {
		t.Helper()
		s := newStage()
		answer := make(chan struct{})
		c := watched(t, s, func(w *fixture) { w.decide = func(string, int) error { <-answer; return nil } })
		for n := range 6 {
			begin(t, s, slow, contract.SagaID(fmt.Sprint("s", n)))
		}
		s.set(consumer(transport.StreamEvents, transport.ConsumerLoad{Name: "coordinator", Pending: 7, MaxInFlight: 100}))
		s.set(slower)
		t.Cleanup(func() { // before the coordinator stops
			s.set(func(s *stage) {
				if s.crawl = 0; s.commit != nil {
					close(s.commit)
				}
				s.commit = nil
			})
		})
		close(answer)
		return s, c
	}
	// blamed collects the reported standstills and their reasons for a minute.
	blamed := func(t *testing.T, c *coordinator.Coordinator) (reasons string) {
		t.Helper()
		for range 60 {
			time.Sleep(time.Second)
			for _, one := range c.Standstills() {
				if one.Kind != api.StandstillShard || one.Object != "1" || !one.Stops {
					t.Fatal(one.String())
				}
				reasons += one.Reason + "\n"
			}
		}
		return reasons
	}
	t.Run("a commit hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := answering(t, func(s *stage) { s.commit = make(chan struct{}) })
			if said := blamed(t, c); !strings.Contains(said, "processing one batch") {
				t.Errorf("the shard is not named: %s", said)
			}
		})
	})
	t.Run("no commit takes long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := answering(t, func(s *stage) { s.crawl = 9 * time.Second })
			ctx, stop := context.WithCancel(t.Context())
			var starts sync.WaitGroup
			for n := range 20 { // they take turns with the answers; those that find no room are retried
				starts.Go(func() {
					for ctx.Err() == nil {
						_, _ = client.New(s.Bus).Start(ctx, shipped, order{"tea"}, client.ID(contract.SagaID(fmt.Sprint("further", n))))
						time.Sleep(time.Second)
					}
				})
			}
			if said := blamed(t, c); !strings.Contains(said, "a full input queue") {
				t.Errorf("the shard is not named: %s", said)
			}
			stop()
			starts.Wait()
			s.set(func(s *stage) { s.crawl, s.load = 0, transport.Load{} })
			time.Sleep(time.Minute)
			if list := c.Standstills(); len(list) > 0 {
				t.Errorf("afterwards there stands %v", list)
			}
		})
	})
}
