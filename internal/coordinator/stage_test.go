package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amends-dev/amends/ownership"
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

func (r *registry) Read(context.Context) (ownership.Entry, error) { return r.entry, r.away() }

func (r *registry) Confirm(context.Context, ownership.Position) error { return r.away() }

func (r *registry) Fences() bool { return true }

func (r *registry) ConfirmNow() <-chan struct{} { return nil }

func (r *registry) Write(_ context.Context, c *ownership.Claim, _ ownership.Position) (ownership.Position, error) {
	if err := r.away(); err != nil {
		return ownership.Position{}, err
	}
	r.entry.Claim = c
	r.entry.At.Sequence++
	return r.entry.At, nil
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
