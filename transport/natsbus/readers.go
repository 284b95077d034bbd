package natsbus

import (
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// metaBundle is a key in the metadata of the stream of events and of consumers of commands. Its
// value is the maximum number of messages that the reader accepts in a bundle.
const metaBundle = "amends-bundle"

// readers holds the maximum number of messages per bundle that each reader of commands or answers
// accepts. By default, messages are sent one by one.
type readers struct {
	events atomic.Int32 // from the metadata of the stream of events

	mu       sync.Mutex
	asks     bool            // whether the bus may ask the server about participants
	commands map[string]int  // maximum by participant, from the metadata of their consumers
	sent     map[string]bool // participants to which messages were sent since the last query
	lookSoon func()
}

func newReaders(asks bool, lookSoon func()) *readers {
	return &readers{asks: asks, lookSoon: lookSoon, commands: map[string]int{}, sent: map[string]bool{}}
}

// most returns the maximum number of messages in a bundle of a participant's commands or answers.
// It returns 0 or 1 if they must not be bundled.
func (r *readers) most(stream transport.Stream, participant string) int {
	switch stream {
	case transport.StreamEvents:
		return int(r.events.Load())
	case transport.StreamCommands:
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

// bundleOf returns the bundle size in the metadata, or 0 if the bundle size is missing or invalid.
func bundleOf(metadata map[string]string) int {
	n, ok := contract.ParseNumber(metadata[metaBundle], 2)
	if !ok {
		return 0
	}
	return min(n, bundle.Most)
}
