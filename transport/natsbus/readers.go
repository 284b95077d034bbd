package natsbus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// metaBundle is where a consumer of commands, and the stream of events, says in its
// metadata how many messages its readers take in a bundle.
const metaBundle = "amends-bundle"

// readers knows how many messages those who read commands and answers take in one
// bundle. Who says nothing takes single ones.
type readers struct {
	events atomic.Int32 // what the stream of events says of the coordinators

	mu       sync.Mutex
	asks     bool            // whether the server may be asked about participants
	commands map[string]int  // what their consumers say
	sent     map[string]bool // participants that were sent something since the last look
	lookSoon func()
}

func newReaders(asks bool, lookSoon func()) *readers {
	return &readers{asks: asks, lookSoon: lookSoon, commands: map[string]int{}, sent: map[string]bool{}}
}

// most is how many messages go into one bundle of a participant's commands or
// answers; 0 or 1: each goes alone.
func (r *readers) most(stream transport.Stream, participant string) int {
	switch stream {
	case transport.Events:
		return int(r.events.Load())
	case transport.Commands:
		if !r.asks {
			return 0
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		n, known := r.commands[participant]
		if !known && !r.sent[participant] {
			r.lookSoon()
		}
		r.sent[participant] = true
		return n
	}
	return 0
}

// learn asks the server about the participants that were sent something since the
// last time. What the server does not say stays as it was.
func (b *Bus) learn(ctx context.Context) {
	r := b.readers
	r.mu.Lock()
	names := slices.Collect(maps.Keys(r.sent))
	clear(r.sent)
	r.mu.Unlock()
	if len(names) == 0 {
		return
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	for _, name := range names {
		consumer, err := b.js.Consumer(ctx, b.names[transport.Commands], name)
		n := 0
		switch {
		case err == nil:
			n = bundleOf(consumer.CachedInfo().Config.Metadata)
		case errors.Is(err, jetstream.ErrConsumerNotFound):
		case ctx.Err() != nil:
			return
		default:
			continue
		}
		r.mu.Lock()
		r.commands[name] = n
		r.mu.Unlock()
	}
}

// bundleOf is what metadata says about bundles; 0: nothing that makes sense.
func bundleOf(metadata map[string]string) int {
	n, ok := contract.ParseNumber(metadata[metaBundle], 2)
	if !ok {
		return 0
	}
	return min(n, bundle.Most)
}
