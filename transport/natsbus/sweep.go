package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// sweep removes messages that the source has acknowledged but the stream has kept. A server that is
// killed or stopped in between (nats-server 2.15.2, one node) has stored the acknowledgement and
// the message, which it neither redelivers nor removes. Such messages would use up the stream's
// bytes for good and look like a backlog.
//
// It runs when the stream's first message is the same at two consecutive checks. Consumers of a
// work queue do not overlap, so an acknowledged message belongs to no other consumer.
func (s *source) sweep(ctx context.Context) error {
	head := s.head.Swap(0)
	if head == 0 || !s.sub.Stream.WorkQueue() || s.bus.config.Provision != Create {
		return nil
	}
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	name := s.bus.names[s.sub.Stream]
	consumer, err := s.bus.js.Consumer(ctx, name, s.name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // handled by fix
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", s.name, err)
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	if floor < head {
		return nil // it is waiting, which is normal
	}
	stream, err := s.bus.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	before := stream.CachedInfo().State.Msgs
	for _, subject := range s.filters() {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(floor+1)); err != nil {
			return fmt.Errorf("remove acknowledged messages from stream %s: %w", name, err)
		}
	}
	if info, err := stream.Info(ctx); err == nil && info.State.FirstSeq > head {
		s.bus.config.Logger.Warn("removed acknowledged messages that a NATS stream had kept",
			"stream", name, "consumer", s.name, "up_to", floor, "before", before, "after", info.State.Msgs)
	}
	return nil
}

// unmoved notes that a stream has had the same first message at two checks.
func (s *source) unmoved(stream transport.Stream, head uint64) {
	if s.sub.Stream == stream {
		s.head.Store(head)
	}
}

// filters returns the subjects that the source receives.
func (s *source) filters() []string {
	if len(s.sub.Subjects) > 0 {
		return s.sub.Subjects
	}
	return []string{s.bus.subjects.All(s.sub.Stream)}
}
