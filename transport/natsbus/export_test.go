package natsbus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// SetLetterPause shortens the pause between two tries to store a dead letter.
func SetLetterPause(d time.Duration) (restore func()) {
	old := letterPause
	letterPause = d
	return func() { letterPause = old }
}

// SetHold changes how long new sources hold their newest acknowledgement.
func SetHold(d time.Duration) (restore func()) {
	old := holdFor
	holdFor = d
	return func() { holdFor = old }
}

// CheckVersion is exported because tests have no server of an old version.
var CheckVersion = checkVersion

// Question bounds a request to the server.
func (b *Bus) Question(ctx context.Context) (context.Context, context.CancelFunc) {
	return b.question(ctx)
}

// Look waits for the end of any check in progress, and then checks the streams.
func (b *Bus) Look(ctx context.Context, streams ...transport.Stream) error {
	return b.look(ctx, streams...)
}

// BusyWith blocks the check of one stream until free is called.
func (b *Bus) BusyWith(s transport.Stream) (free func()) {
	b.streams[s].repair <- struct{}{}
	return func() { <-b.streams[s].repair }
}

// Translate classifies an error of the server.
func (b *Bus) Translate(err error) error { return b.translate(err) }

// NoteViolation records a permission error of the connection. Violation returns the resulting error
// for a message published at the given time.
func (b *Bus) NoteViolation(err error, at time.Time) { b.violations.note(err, at) }
func (b *Bus) Violation(subject string, published time.Time) error {
	return b.violations.of(subject, published)
}

// Busy blocks the checks of all streams until free is called.
func (b *Bus) Busy() (free func()) {
	for _, stream := range transport.Streams {
		b.streams[stream].repair <- struct{}{}
	}
	return func() {
		for _, stream := range transport.Streams {
			<-b.streams[stream].repair
		}
	}
}

// JudgeServer evaluates the server by the result of a check, as if the server had been unreachable
// for the given time.
func (b *Bus) JudgeServer(err error, since time.Duration) {
	b.unreachable = time.Now().Add(-since)
	b.judgeServer(err)
}

// ForceBundles makes the bus send bundles of n messages, whatever their readers accept.
func (b *Bus) ForceBundles(n int) {
	b.most = func(s transport.Stream, _ string) int {
		if s.WorkQueue() {
			return n
		}
		return 0
	}
}

// Looked reports whether this bus has indexed all dead letters that it has stored.
func (b *Bus) Looked() bool {
	b.rings.looking <- struct{}{}
	defer func() { <-b.rings.looking }()
	return b.rings.some.Load() == 0 && b.rings.seen == b.rings.last.Load() && b.rings.seen > 0
}

// Latch returns the sequence of the fence's latch. Raise raises the fence if the latch still has
// that sequence.
func (b *Bus) Latch(ctx context.Context) uint64 {
	at, _ := claims{b}.latch(ctx)
	return at
}

func (b *Bus) Raise(ctx context.Context, latch uint64) { claims{b}.raise(ctx, latch) }

// PurgePage bounds the dead letters that one purge call reads.
const PurgePage = purgePage

// BundleMost bounds the messages in a bundle.
const BundleMost = bundle.Most

// Late returns an unacknowledged delivery of a source.
func Late(s transport.Source) transport.Delivery {
	return &delivery{source: s.(*source), msg: &nats.Msg{Subject: "saga.event.inventory.order-1.7.reserve.do.1"}}
}

// NotReady reports whether Connect retries after an error.
var NotReady = notReady
