package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// tracked records which messages up to the sequence newest were negatively acknowledged. A work
// queue removes acknowledged messages. Each remaining message was therefore either negatively
// acknowledged or not acknowledged at all.
type tracked struct {
	mu     sync.Mutex
	newest uint64
	back   map[uint64]struct{}
}

// maxBack bounds tracked.back. Messages above the limit count as not acknowledged.
const maxBack = 4096

func (t *tracked) begin(newest uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest, t.back = newest, nil
}

// ended records the acknowledgement of a delivery.
func (t *tracked) ended(reply, word string) {
	if !strings.HasPrefix(word, "-NAK") {
		return
	}
	sequence := streamSequence(reply)
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence > t.newest || len(t.back) >= maxBack {
		return
	}
	if t.back == nil {
		t.back = map[uint64]struct{}{}
	}
	t.back[sequence] = struct{}{}
}

func (t *tracked) has(sequence uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.back[sequence]
	return ok
}

// Newest implements transport.Tracker.
func (s *source) Newest(ctx context.Context) (uint64, error) {
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	stream, err := s.stream(ctx)
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	newest := state.LastSeq
	if state.Msgs == 0 {
		newest = 0
	}
	s.tracked.begin(newest)
	return newest, nil
}

// TakenIn implements transport.Tracker.
func (s *source) TakenIn(ctx context.Context, newest uint64) (bool, error) {
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	stream, err := s.stream(ctx)
	if err != nil {
		return false, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 || state.LastSeq < newest { // the stream is empty or was recreated
		return true, nil
	}
	for first := state.FirstSeq; first <= newest; {
		if !s.tracked.has(first) {
			return false, nil
		}
		next, err := stream.GetMsg(ctx, first+1, jetstream.WithGetMsgSubject(">"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("get the next message of stream %s after %d: %w", s.bus.names[s.sub.Stream], first, err)
		}
		first = next.Sequence
	}
	return true, nil
}

func (s *source) stream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := s.bus.js.Stream(ctx, s.bus.names[s.sub.Stream])
	if err != nil {
		return nil, fmt.Errorf("get info of stream %s: %w%s", s.bus.names[s.sub.Stream], err, hint(err))
	}
	return stream, nil
}
