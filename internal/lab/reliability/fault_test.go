//go:build linux && lab

package reliability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/lab/world"
)

// fault describes how to break the system. make injects the fault and repairs what an operator
// would repair: it restarts processes and reopens roads. It returns the time at which the repair
// began. The system must do the rest of the recovery.
type fault struct {
	name string
	make func(*system, *rand.Rand) (fixed time.Time, err error)
}

// faults lists all faults. A deck holds each once.
var faults = []fault{
	{"kill -9 the coordinator", killCoordinator},
	{"kill -9 a participant", killParticipant},
	{"kill -9 the bus", killBus},
	{"kill -9 everything", killAll},
	{"kill -9 the coordinator within 50 ms of its start, repeatedly", killYoungCoordinator},
	{"kill -9 a young participant, repeatedly", killYoungParticipant},
	{"stop the coordinator and start it", stop("coordinator")},
	{"stop a participant and start it", stop(world.Participants...)},
	{"stop the bus and start it", stop("bus")},
	{"pause the coordinator beyond timeouts", pause("coordinator")},
	{"pause a participant beyond timeouts", pause(world.Participants...)},
	{"pause the bus beyond timeouts", pause("bus")},
	{"delete the bus's data", wipeBus},
	{"delete the bus's data while the coordinator is dead", wipeBusWithoutCoordinator},
	{"delete a stream by hand", deleteStream},
	{"delete a consumer by hand", deleteConsumer},
	{"purge a stream by hand", purgeStream},
	{"cut one road to the bus", cutOne},
	{"cut all roads to the bus", cutAll},
	{"one direction of a road is silent", hushOne},
	{"a road is slow", slowOne},
	{"a road flaps", flapOne},
}

// outages last for minutes in the long form, longer than every timeout.
var outages = []fault{
	{"the bus is out of reach for long", func(s *system, _ *rand.Rand) (time.Time, error) { return cutFor(s, *outage, roads...) }},
	{"the bus is dead for long", func(s *system, _ *rand.Rand) (time.Time, error) {
		if err := s.bus().kill(); err != nil {
			return time.Time{}, err
		}
		world.Hold(*outage)
		return s.again("bus")
	}},
	{"a participant is out of reach for long", func(s *system, rng *rand.Rand) (time.Time, error) {
		return cutFor(s, *outage, s.victim(rng, world.Participants))
	}},
}

// cutFor cuts roads to the bus for d.
func cutFor(s *system, d time.Duration, names ...string) (time.Time, error) {
	for _, name := range names {
		s.proxies[name].Cut()
	}
	world.Hold(d)
	for _, name := range names {
		s.proxies[name].Heal()
	}
	return time.Now(), nil
}

// between returns a random duration between least and most.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)))
}

// lasting returns a random duration between the bounds. In the long form it is sometimes four times
// as long, longer than the bus waits.
func lasting(rng *rand.Rand, least, most time.Duration) time.Duration {
	d := between(rng, least, most)
	if long := rng.IntN(8) == 0; long && *cycles > 0 {
		d *= 4
	}
	return d
}

func oneOf[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// again starts processes that have ended and waits until they are ready.
func (s *system) again(names ...string) (fixed time.Time, err error) {
	fixed = time.Now()
	for _, name := range names {
		err = errors.Join(err, s.processes[name].start())
	}
	for _, name := range names {
		err = errors.Join(err, s.processes[name].awaitReady())
	}
	return fixed, err
}

func killCoordinator(s *system, _ *rand.Rand) (time.Time, error) {
	if err := s.coordinator().kill(); err != nil {
		return time.Time{}, err
	}
	return s.again("coordinator")
}

func killParticipant(s *system, rng *rand.Rand) (time.Time, error) {
	name := s.victim(rng, world.Participants)
	if err := s.processes[name].kill(); err != nil {
		return time.Time{}, err
	}
	world.Hold(between(rng, 0, 300*time.Millisecond))
	return s.again(name)
}

func killBus(s *system, rng *rand.Rand) (time.Time, error) {
	if err := s.bus().kill(); err != nil {
		return time.Time{}, err
	}
	world.Hold(between(rng, 0, 300*time.Millisecond))
	return s.again("bus")
}

// killAll kills all processes one after the other in random order, and starts them in another
// random order.
func killAll(s *system, rng *rand.Rand) (time.Time, error) {
	names := s.names()
	shuffled := func() []string {
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return names
	}
	for _, name := range shuffled() {
		if err := s.processes[name].kill(); err != nil {
			return time.Time{}, err
		}
		world.Hold(between(rng, 0, 30*time.Millisecond))
	}
	return s.again(shuffled()...)
}

func killYoungCoordinator(s *system, rng *rand.Rand) (time.Time, error) {
	return killYoung(s, rng, "coordinator", 50*time.Millisecond)
}

// killYoungParticipant kills a participant shortly after its start; sometimes it has received
// commands by then.
func killYoungParticipant(s *system, rng *rand.Rand) (time.Time, error) {
	return killYoung(s, rng, s.victim(rng, world.Participants), 200*time.Millisecond)
}

func killYoung(s *system, rng *rand.Rand, name string, age time.Duration) (time.Time, error) {
	p := s.processes[name]
	for range 3 + rng.IntN(4) {
		if err := p.kill(); err != nil {
			return time.Time{}, err
		}
		if err := p.start(); err != nil {
			return time.Time{}, err
		}
		world.Hold(between(rng, time.Millisecond, age))
	}
	if err := p.kill(); err != nil {
		return time.Time{}, err
	}
	return s.again(name)
}

func stop(names ...string) func(*system, *rand.Rand) (time.Time, error) {
	return func(s *system, rng *rand.Rand) (time.Time, error) {
		name := s.victim(rng, names)
		if err := s.processes[name].terminate(); err != nil {
			return time.Time{}, err
		}
		return s.again(name)
	}
}

func pause(names ...string) func(*system, *rand.Rand) (time.Time, error) {
	return func(s *system, rng *rand.Rand) (time.Time, error) {
		err := s.processes[s.victim(rng, names)].pause(lasting(rng, 1100*time.Millisecond, 2*time.Second))
		return time.Now(), err
	}
}

func wipeBus(s *system, _ *rand.Rand) (time.Time, error) {
	if err := s.bus().kill(); err != nil {
		return time.Time{}, err
	}
	if err := s.wipe(); err != nil {
		return time.Time{}, err
	}
	return s.again("bus")
}

func wipeBusWithoutCoordinator(s *system, rng *rand.Rand) (time.Time, error) {
	if err := errors.Join(s.coordinator().kill(), s.bus().kill()); err != nil {
		return time.Time{}, err
	}
	if err := s.wipe(); err != nil {
		return time.Time{}, err
	}
	if _, err := s.again("bus"); err != nil {
		return time.Time{}, err
	}
	world.Hold(between(rng, 0, 300*time.Millisecond))
	return s.again("coordinator")
}

// queues are the streams that every saga needs to make progress.
var queues = []string{"SAGA_COMMANDS", "SAGA_EVENTS"}

// await returns a stream once it exists: another process may be recreating it.
func await(ctx context.Context, js jetstream.JetStream, name string) (stream jetstream.Stream, err error) {
	for {
		stream, err = js.Stream(ctx, name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) || ctx.Err() != nil {
			return stream, err
		}
		world.Hold(20 * time.Millisecond)
	}
}

func deleteStream(s *system, rng *rand.Rand) (time.Time, error) {
	name := s.victim(rng, queues)
	err := s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
		if _, err := await(ctx, js, name); err != nil {
			return err
		}
		return js.DeleteStream(ctx, name)
	})
	return time.Now(), err
}

func purgeStream(s *system, rng *rand.Rand) (time.Time, error) {
	name := s.victim(rng, queues)
	err := s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := await(ctx, js, name)
		if err != nil {
			return err
		}
		return stream.Purge(ctx)
	})
	return time.Now(), err
}

func deleteConsumer(s *system, rng *rand.Rand) (time.Time, error) {
	name := s.victim(rng, queues)
	err := s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := await(ctx, js, name)
		if err != nil {
			return err
		}
		var found []string
		names := stream.ConsumerNames(ctx)
		for consumer := range names.Name() {
			found = append(found, consumer)
		}
		if err := names.Err(); err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("stream %s has no consumer", name)
		}
		slices.Sort(found)
		return stream.DeleteConsumer(ctx, s.victim(rng, found))
	})
	return time.Now(), err
}

// roads names the processes that reach the bus through a proxy.
var roads = append([]string{"coordinator", "load"}, world.Participants...)

// victim draws one of the names and records it.
func (s *system) victim(rng *rand.Rand, names []string) string {
	s.struck = oneOf(rng, names)
	return s.struck
}

func cutOne(s *system, rng *rand.Rand) (time.Time, error) {
	return cutFor(s, lasting(rng, 100*time.Millisecond, 1500*time.Millisecond), s.victim(rng, roads))
}

func cutAll(s *system, rng *rand.Rand) (time.Time, error) {
	return cutFor(s, lasting(rng, 300*time.Millisecond, 2*time.Second), roads...)
}

func hushOne(s *system, rng *rand.Rand) (time.Time, error) {
	road := s.proxies[s.victim(rng, roads)]
	road.Hush(oneOf(rng, []int{world.ToServer, world.FromServer}))
	world.Hold(lasting(rng, 300*time.Millisecond, 2*time.Second))
	road.Heal()
	return time.Now(), nil
}

func slowOne(s *system, rng *rand.Rand) (time.Time, error) {
	road := s.proxies[s.victim(rng, roads)]
	road.Slow(between(rng, 10*time.Millisecond, 100*time.Millisecond))
	world.Hold(lasting(rng, 300*time.Millisecond, 1500*time.Millisecond))
	road.Heal()
	return time.Now(), nil
}

func flapOne(s *system, rng *rand.Rand) (time.Time, error) {
	road := s.proxies[s.victim(rng, roads)]
	for range 4 + rng.IntN(6) {
		road.Cut()
		world.Hold(between(rng, 10*time.Millisecond, 100*time.Millisecond))
		road.Heal()
		world.Hold(between(rng, 10*time.Millisecond, 300*time.Millisecond))
	}
	return time.Now(), nil
}
