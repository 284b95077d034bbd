package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// sweep removes what the source has acknowledged and the stream has kept all the
// same: a server that is killed or stopped in between (nats-server 2.15.2, one
// node) has the acknowledgement and still has the message, which it neither
// delivers again nor ever removes. Such messages would take up the queue's bytes
// for good, and look like a backlog.
//
// It is asked for with the first message of the stream when that was the first at
// the look before as well. Consumers of a work queue do not overlap: what one has
// acknowledged is nobody else's.
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
		return nil // fix is for that
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", s.name, err)
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	if floor < head {
		return nil // it waits, as a message may
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
		s.bus.config.Logger.Warn("a NATS stream had kept messages that were acknowledged; they are removed",
			"stream", name, "consumer", s.name, "up_to", floor, "before", before, "after", info.State.Msgs)
	}
	return nil
}

// unmoved says that a stream has had the same first message for two looks.
func (s *source) unmoved(stream transport.Stream, head uint64) {
	if s.sub.Stream == stream {
		s.head.Store(head)
	}
}

// filters are the subjects that the source receives.
func (s *source) filters() []string {
	if len(s.sub.Subjects) > 0 {
		return s.sub.Subjects
	}
	return []string{s.bus.subjects.All(s.sub.Stream)}
}
