package natsbus

import (
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// metaBundle is the metadata key, of consumers of commands and of the stream of events, for the
// number of messages that their readers accept in a bundle.
const metaBundle = "amends-bundle"

// readers knows how many messages per bundle the readers of commands and answers accept. The
// default is single messages.
type readers struct {
	events atomic.Int32 // from the metadata of the stream of events

	mu       sync.Mutex
	asks     bool            // the bus may ask the server about participants
	commands map[string]int  // from the consumers' metadata
	sent     map[string]bool // participants that were sent something since the last query
	lookSoon func()
}

func newReaders(asks bool, lookSoon func()) *readers {
	return &readers{asks: asks, lookSoon: lookSoon, commands: map[string]int{}, sent: map[string]bool{}}
}

// most returns the maximum number of messages in a bundle of a participant's commands or answers; 0
// or 1: no bundles.
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

// bundleOf returns the size of bundles given by metadata; 0: none, or invalid.
func bundleOf(metadata map[string]string) int {
	n, ok := contract.ParseNumber(metadata[metaBundle], 2)
	if !ok {
		return 0
	}
	return min(n, bundle.Most)
}
