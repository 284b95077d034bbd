package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// scanned is a dead letter without its data.
type scanned struct {
	sequence uint64
	subject  string
	stored   time.Time
	bytes    int64 // approximate size in the stream
	header   nats.Header
}

// scan yields the headers of the dead letters on a subject, which may contain wildcards, from a
// sequence on until there are no more or yield returns false.
func (b *Bus) scan(ctx context.Context, subject string, from uint64, yield func(*scanned) bool) error {
	name := b.names[transport.DeadLetters]
	consumer, err := b.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		Name: "scan-" + nuid.Next(), FilterSubject: subject, HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		InactiveThreshold: 30 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return fmt.Errorf("read the dead letters on %s: %w", subject, err)
	}
	info := consumer.CachedInfo()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = b.js.DeleteConsumer(ctx, name, info.Name) // otherwise the server does so later
	}()
	if info.NumPending == 0 {
		return nil
	}
	lost := make(chan struct{}, 1)
	puller, err := pull.New(pull.Config{
		Conn: b.nc, Stream: name, Consumer: info.Name, Prefetch: scanPrefetch, MaxBytes: 2 * int(b.nc.MaxPayload()), Heartbeat: b.config.Heartbeat,
		OnLost: func(string) {
			select {
			case lost <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return fmt.Errorf("read the dead letters on %s: %w", subject, err)
	}
	defer puller.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-lost:
			cancel(errScanLost)
		case <-ctx.Done():
		}
	}()
	for {
		batch, err := puller.Take(ctx, scanPrefetch)
		if err != nil {
			return fmt.Errorf("read the dead letters on %s: %w", subject, errors.Join(err, context.Cause(ctx)))
		}
		for _, m := range batch {
			if !yield(headersOf(m.Msg)) || replyNumber(m.Reply, 4) == 0 {
				return nil
			}
		}
	}
}

const scanPrefetch = 2048

var errScanLost = errors.New("the server stopped delivering them; try again")

// headersOf decodes a delivery without data.
func headersOf(m *nats.Msg) *scanned {
	l := &scanned{
		sequence: streamSequence(m.Reply), subject: m.Subject, stored: time.Unix(0, int64(storedAt(m.Reply))).UTC(),
		bytes: int64(m.Size()), header: m.Header,
	}
	for _, size := range m.Header["Nats-Msg-Size"] { // the server's is the last; the sender may have added others
		if n, err := strconv.ParseInt(size, 10, 32); err == nil && n >= 0 {
			l.bytes = int64(m.Size()) + n
		}
	}
	return l
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
