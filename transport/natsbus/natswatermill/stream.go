package natswatermill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	apiTimeout = 5 * time.Second
	keep       = 7 * 24 * time.Hour
)

// afterDeletion is the wait before a deleted stream is recreated. A server that is still deleting
// the old stream would create a stream that never acknowledges a publish.
const afterDeletion = 500 * time.Millisecond

// provision creates the stream of a topic if it is missing. known reports whether the stream
// existed before.
func (c Config) provision(ctx context.Context, js jetstream.JetStream, topic string, known bool) error {
	if c.NoProvision {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	want := jetstream.StreamConfig{
		Name:        c.Stream(topic),
		Description: "Watermill topic " + topic,
		Subjects:    []string{topic},
		Storage:     jetstream.FileStorage,
		MaxAge:      keep,
	}
	if c.StreamConfig != nil {
		c.StreamConfig(topic, &want)
	}
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if known {
			timer := time.NewTimer(afterDeletion)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process has created it in the meantime
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s of topic %s: %w", want.Name, topic, err)
	}
	if have := stream.CachedInfo().Config.Subjects; !slices.Contains(have, topic) {
		return fmt.Errorf("stream %s has the subjects %v instead of the topic %s, because two topics map to the same stream name; set Config.Stream", want.Name, have, topic)
	}
	return nil
}
