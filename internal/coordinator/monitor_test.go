package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
)

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
