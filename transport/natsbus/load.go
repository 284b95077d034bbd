package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Load is what lies on the bus.
type Load struct {
	Streams   map[transport.Stream]StreamLoad
	Consumers []ConsumerLoad // of the commands and of the events: participants, and the coordinator
}

// StreamLoad is what a stream holds.
type StreamLoad struct{ Messages, Bytes uint64 }

// ConsumerLoad is what waits for one subscription.
type ConsumerLoad struct {
	Stream      transport.Stream
	Name        string    // of the subscription: of commands, the participant's
	Pending     uint64    // messages that it has not been given
	InFlight    int       // messages that it was given and has not answered
	Redelivered int       // of those in flight, how many were given before
	Asking      int       // requests for messages that wait at the server; 0 for long: nobody is there
	Delivered   time.Time // when it was last given one; zero: never
}

// MaxConsumers bounds Load.Consumers for each stream.
const MaxConsumers = 1024

// Load asks the server what lies on the bus. It is for people and metrics: it takes
// a request for each stream and for every 256 subscriptions.
func (b *Bus) Load(ctx context.Context) (Load, error) {
	if b.isClosed() {
		return Load{}, transport.ErrClosed
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	load := Load{Streams: map[transport.Stream]StreamLoad{}}
	for _, s := range transport.Streams {
		stream, err := b.js.Stream(ctx, b.names[s])
		if err != nil {
			return Load{}, fmt.Errorf("look at stream %s: %w%s", b.names[s], err, hint(err))
		}
		state := stream.CachedInfo().State
		load.Streams[s] = StreamLoad{Messages: state.Msgs, Bytes: state.Bytes}
		if !s.WorkQueue() {
			continue
		}
		consumers, err := consumersOf(ctx, s, stream)
		if err != nil {
			return Load{}, fmt.Errorf("look at the subscriptions of stream %s: %w", b.names[s], err)
		}
		load.Consumers = append(load.Consumers, consumers...)
	}
	return load, nil
}

func consumersOf(ctx context.Context, s transport.Stream, stream jetstream.Stream) ([]ConsumerLoad, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the list ends early when there are too many
	var found []ConsumerLoad
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		one := ConsumerLoad{
			Stream: s, Name: info.Name, Pending: info.NumPending, InFlight: info.NumAckPending,
			Redelivered: info.NumRedelivered, Asking: info.NumWaiting,
		}
		if info.Delivered.Last != nil {
			one.Delivered = info.Delivered.Last.UTC()
		}
		if found = append(found, one); len(found) == MaxConsumers {
			return found, nil
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, err
	}
	return found, nil
}
