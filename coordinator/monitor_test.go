package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// stage is a bus and a store of which a test decides what they say and take.
type stage struct {
	*membus.Bus
	store *memstore.Store

	mu      sync.Mutex
	refuse  func(transport.Stream, *transport.Envelope) error
	check   error
	hang    chan struct{} // when not nil, Check waits for it
	load    transport.Load
	full    error         // what the store's Check says
	slow    chan struct{} // when not nil, the store's Check waits for it
	commit  chan struct{} // when not nil, a commit waits for it
	asleep  bool          // the timekeeper is told of nothing that is due
	missing bool          // no definition is there after a restart
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

// set changes what is said, under the lock.
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
	defer s.mu.Unlock()
	return s.load, nil
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
	wait := d.s.commit
	d.s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return d.Store.Commit(ctx, changes)
}

// Due keeps the timekeeper, which asks for a thousand at once, from waking anybody.
func (d stagedStore) Due(ctx context.Context, now time.Time, limit int) ([]saga.ID, time.Time, error) {
	d.s.mu.Lock()
	asleep := d.s.asleep
	d.s.mu.Unlock()
	if asleep && limit == 1024 {
		return nil, time.Time{}, nil
	}
	return d.Store.Due(ctx, now, limit)
}

func (d stagedStore) Definitions(ctx context.Context) ([]*saga.Definition, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.missing {
		return nil, nil
	}
	return d.Store.Definitions(ctx)
}

// consumer is the load of a bus with one subscription.
func consumer(stream transport.Stream, c transport.ConsumerLoad) func(*stage) {
	c.Stream = stream
	return func(s *stage) { s.load = transport.Load{Consumers: []transport.ConsumerLoad{c}} }
}

// busRefuses has the bus refuse what goes to some participants, or announcements.
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

// slow is checkout with time to see what stands.
var slow = saga.MustDefine[order]("slow", saga.Timeout(time.Hour),
	saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)),
	saga.Compensable("charge", saga.Do(charge), saga.Undo(refund)))

// row is one of the table in docs/OPERATING.md: what stands, and how it shows.
type row struct {
	name  string
	stand func(*stage) // makes it stand
	sagas int          // that are started then, of slow
	quick bool         // of checkout instead, whose attempts time out after five seconds
	kind  transport.StandstillKind
	of    string   // which one
	stops bool     // no saga moves: not ready
	words []string // in the reason and the fix
	again func(*stage)
}

func rows() []row {
	return []row{
		{
			name: "the bus is away", stand: func(s *stage) { s.check = errors.New("NATS: not connected") }, again: func(s *stage) { s.check = nil },
			kind: transport.StandsBus, stops: true, words: []string{"not connected", "doctor"},
		},
		{
			name: "the bus hangs", stand: func(s *stage) { s.hang = make(chan struct{}) }, again: func(s *stage) { close(s.hang); s.hang = nil },
			kind: transport.StandsBus, stops: true, words: []string{"has not answered for"},
		},
		{
			name: "the store takes nothing", stand: func(s *stage) { s.full = errors.New("3 MiB left") }, again: func(s *stage) { s.full = nil },
			kind: transport.StandsStore, stops: true, words: []string{"3 MiB left", "make room"},
		},
		{
			name: "the store hangs", stand: func(s *stage) { s.slow = make(chan struct{}) }, again: func(s *stage) { close(s.slow); s.slow = nil },
			kind: transport.StandsStore, stops: true, words: []string{"has not answered for"},
		},
		{
			name: "a commit hangs", stand: func(s *stage) { s.commit = make(chan struct{}) }, again: func(s *stage) { close(s.commit); s.commit = nil }, sagas: 1,
			kind: transport.StandsShard, of: "1", stops: true, words: []string{"committing one batch", "disk"},
		},
		{
			name: "timers are late", stand: func(s *stage) { s.asleep = true; busRefuses("stock")(s) }, again: func(s *stage) { s.asleep = false; s.refuse = nil }, sagas: 2, quick: true,
			kind: transport.StandsTimers, words: []string{"2 sagas were due"},
		},
		{
			name: "the coordinator's consumer is paused", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Events, transport.ConsumerLoad{Name: "coordinator", Paused: true, Pending: 7}),
			kind:  transport.StandsAnswers, stops: true, words: []string{"somebody has paused", "7 answers wait", "resume"},
		},
		{
			name: "the coordinator's consumer is clogged", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Events, transport.ConsumerLoad{Name: "coordinator", Pending: 7, InFlight: 100, MaxInFlight: 100}),
			kind:  transport.StandsAnswers, stops: true, words: []string{"none of them is acknowledged"},
		},
		{
			name: "the coordinator is given no answers", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Events, transport.ConsumerLoad{Name: "coordinator", Pending: 7, MaxInFlight: 100}),
			kind:  transport.StandsAnswers, stops: true, words: []string{"has given none for"},
		},
		{
			name: "one participant's commands are refused", stand: busRefuses("bank"), again: func(s *stage) { s.refuse = nil }, sagas: 1,
			kind: transport.StandsCommands, of: "bank", words: []string{"does not take its commands", "of which 1 wait", "full"},
		},
		{
			name: "announcements are refused", stand: busRefuses("lifecycle"), again: func(s *stage) { s.refuse = nil }, sagas: 1,
			kind: transport.StandsLifecycle, words: []string{"does not take announcements", "sagas go on"},
		},
		{
			name: "a participant's consumer is paused", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Commands, transport.ConsumerLoad{Name: "stock", Paused: true, Pending: 3}),
			kind:  transport.StandsParticipant, of: "stock", words: []string{"somebody has paused its consumer", "3 commands"},
		},
		{
			name: "a participant is away", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Commands, transport.ConsumerLoad{Name: "stock", Pending: 3, MaxInFlight: 10}),
			kind:  transport.StandsParticipant, of: "stock", words: []string{"nobody asks for them", "start the service"},
		},
		{
			name: "a participant acknowledges nothing", again: func(s *stage) { s.load = transport.Load{} },
			stand: consumer(transport.Commands, transport.ConsumerLoad{Name: "stock", Pending: 3, InFlight: 10, MaxInFlight: 10}),
			kind:  transport.StandsParticipant, of: "stock", words: []string{"acknowledges none"},
		},
		{
			name: "a participant was never there", again: func(s *stage) { s.load = transport.Load{} },
			stand: func(s *stage) { s.load = transport.Load{Commands: map[string]uint64{"stock": 4}} },
			kind:  transport.StandsParticipant, of: "stock", words: []string{"4 commands", "never subscribed"},
		},
	}
}

// TestStandstills: each row of the table shows in readiness, in the log, in what metrics,
// overview and doctor are made of, with what to do, and is over when it is over.
func TestStandstills(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { r.try(t) })
		})
	}
}

// notes are what a logger has written, safe to read meanwhile.
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
	s := newStage()
	w := &town{t: t, bus: s.Bus, store: s.store, decide: func(string, int) error { return nil }}
	w.services()
	defer w.stopServices()
	c, err := coordinator.New(coordinator.Config{
		Bus: s, Store: stagedStore{s.store, s}, Definitions: []*saga.Definition{checkout, slow},
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
		s.Bus.Close()
	}()
	time.Sleep(time.Minute) // virtual, as all times here: nothing has come for long
	if err := c.Ready(ctx); err != nil || len(c.Standstills()) != 0 {
		t.Fatalf("before: %v, %v", err, c.Standstills())
	}
	s.set(r.stand)
	def := slow
	if r.quick {
		def = checkout
	}
	for n := range r.sagas {
		go func() { // a commit that hangs answers later
			_, _ = client.New(s.Bus).Start(ctx, def, order{"tea"}, client.ID(contract.SagaID(fmt.Sprint("s", n))))
		}()
	}
	began := time.Now()
	time.Sleep(50 * time.Second)
	r.shows(t, c, said.String(), began)
	s.set(r.again)
	time.Sleep(time.Minute)
	if err := c.Ready(ctx); err != nil || len(c.Standstills()) != 0 {
		t.Errorf("afterwards: %v, %v", err, c.Standstills())
	}
	if !strings.Contains(said.String(), `msg="no standstill any more" kind=`+string(r.kind)) {
		t.Errorf("the log does not say that it is over:\n%s", &said)
	}
}

// shows holds what is seen of a standstill against its row.
func (r *row) shows(t *testing.T, c *coordinator.Coordinator, log string, began time.Time) {
	t.Helper()
	var one *transport.Standstill
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

// TestEveryKindHasARow: the kinds, the rows that are tried and the table for operators are
// the same. Blocked sagas have tests of their own (TestDefinitionIsGone).
func TestEveryKindHasARow(t *testing.T) {
	page, err := os.ReadFile("../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[transport.StandstillKind]bool{transport.StandsSagas: true}
	for _, r := range rows() {
		tried[r.kind] = true
	}
	for _, kind := range transport.StandstillKinds {
		if !tried[kind] {
			t.Errorf("nothing brings %s about", kind)
		}
		if !strings.Contains(string(page), "| `"+string(kind)+"` |") {
			t.Errorf("docs/OPERATING.md has no row for %s", kind)
		}
	}
}

// A bus that takes nobody's commands is no participant's trouble: the coordinator is not
// ready.
func TestRefusedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := row{
			name: "everybody's commands are refused", stand: busRefuses("stock", "bank"), again: func(s *stage) { s.refuse = nil }, sagas: 3,
			kind: transport.StandsCommands, of: "stock", stops: false, words: []string{"of which 3 wait"},
		}
		r.try(t)
	})
}
