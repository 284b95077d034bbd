package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Aliases of what Load returns.
type (
	Load         = transport.Load
	StreamLoad   = transport.StreamLoad
	ConsumerLoad = transport.ConsumerLoad
)

// MaxConsumers bounds Load.Consumers for each stream.
const MaxConsumers = 1024

// Load implements transport.Scale. It makes a request for each stream and one for every 256
// subscriptions.
func (b *Bus) Load(ctx context.Context) (Load, error) {
	if err := b.connected(); err != nil {
		return Load{}, err
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	load := Load{Streams: map[transport.Stream]StreamLoad{}, Dropped: b.Stats().dropped()}
	for _, s := range transport.Streams {
		stream, err := b.js.Stream(ctx, b.names[s])
		if err != nil && !s.WorkQueue() {
			continue // report the other streams, which are more important
		}
		if err != nil {
			return Load{}, fmt.Errorf("look at stream %s: %w%s", b.names[s], err, hint(err))
		}
		state := stream.CachedInfo().State
		total := StreamLoad{Messages: state.Msgs, Bytes: state.Bytes, Limit: uint64(max(stream.CachedInfo().Config.MaxBytes, 0))}
		if !s.WorkQueue() {
			load.Streams[s] = total
			continue
		}
		bundled, err := b.bundled(ctx, s, stream)
		if err != nil {
			return Load{}, fmt.Errorf("look at the bundles of stream %s: %w", b.names[s], err)
		}
		total.Messages += bundled[""]
		if s == transport.Commands {
			var fences uint64
			if load.Commands, fences, err = b.commands(ctx, stream); err != nil {
				return Load{}, fmt.Errorf("look at the subjects of stream %s: %w", b.names[s], err)
			}
			total.Messages -= min(total.Messages, fences)
		}
		consumers, err := consumersOf(ctx, s, stream)
		if err != nil {
			return Load{}, fmt.Errorf("look at the subscriptions of stream %s: %w", b.names[s], err)
		}
		total.Cut = len(consumers) < stream.CachedInfo().State.Consumers
		load.Streams[s] = total
		for i := range consumers {
			further := bundled[consumers[i].Name]
			if s == transport.Events {
				further = bundled[""] // coordinators share the answers of all participants
			}
			spread(&consumers[i], further)
		}
		load.Consumers = append(load.Consumers, consumers...)
	}
	return load, nil
}

// bundled returns how many more commands or answers than messages a stream holds, by participant,
// and in total under "".
func (b *Bus) bundled(ctx context.Context, s transport.Stream, stream jetstream.Stream) (map[string]uint64, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.subjects.Bundles(s)))
	if err != nil {
		return nil, err
	}
	further := map[string]uint64{}
	for subject, messages := range info.State.Subjects {
		if participant, n, ok := b.subjects.ParseBundle(subject); ok {
			more := messages * uint64(n-1)
			further[participant] += more
			further[""] += more
		}
	}
	return further, nil
}

// commands returns the number of commands on the bus by participant, and the number of fences
// (claim.go).
func (b *Bus) commands(ctx context.Context, stream jetstream.Stream) (counts map[string]uint64, fences uint64, err error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.subjects.All(transport.Commands)))
	if err != nil {
		return nil, 0, err
	}
	counts = map[string]uint64{}
	for subject, messages := range info.State.Subjects {
		if b.isFence(subject) {
			fences += messages
			continue
		}
		if participant, n, ok := b.subjects.ParseBundle(subject); ok {
			counts[participant] += messages * uint64(n)
		} else if participant := b.subjects.Participant(subject); participant != "" {
			counts[participant] += messages
		}
	}
	return counts, fences, nil
}

func consumersOf(ctx context.Context, s transport.Stream, stream jetstream.Stream) ([]ConsumerLoad, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // stops the list when there are too many
	var found []ConsumerLoad
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		one := ConsumerLoad{
			Stream: s, Name: info.Name, Pending: info.NumPending, InFlight: info.NumAckPending,
			Redelivered: info.NumRedelivered, Asking: info.NumWaiting,
			MaxInFlight: info.Config.MaxAckPending, Paused: info.Paused,
			Last: info.Delivered.Stream, AckFloor: info.AckFloor.Stream, RawInFlight: info.NumAckPending,
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

// spread adds the further commands or answers in bundles to the waiting ones and those in flight,
// in proportion.
func spread(c *ConsumerLoad, further uint64) {
	all := c.Pending + uint64(c.InFlight)
	if all == 0 {
		return
	}
	waiting := further * c.Pending / all
	c.Pending += waiting
	c.InFlight += int(further - waiting)
}
