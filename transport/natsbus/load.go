package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// What lies on the bus.
type (
	Load         = transport.Load
	StreamLoad   = transport.StreamLoad
	ConsumerLoad = transport.ConsumerLoad
)

// MaxConsumers bounds Load.Consumers for each stream.
const MaxConsumers = 1024

// Load implements transport.Scale: it asks the server what lies on the bus. It is for people and metrics: it takes
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
