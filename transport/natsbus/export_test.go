package natsbus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// SetLetterPause shortens the wait between two tries to move a message to the dead
// letters, for a test.
func SetLetterPause(d time.Duration) (restore func()) {
	old := letterPause
	letterPause = d
	return func() { letterPause = old }
}

// CheckVersion is for a test: there is no old server at hand.
var CheckVersion = checkVersion

// Question bounds a question to the server.
func (b *Bus) Question(ctx context.Context) (context.Context, context.CancelFunc) {
	return b.question(ctx)
}

// Look looks at the streams, after whoever looks now.
func (b *Bus) Look(ctx context.Context, streams ...transport.Stream) error {
	return b.look(ctx, streams...)
}

// BusyWith is as if somebody looked at one stream, until free is called.
func (b *Bus) BusyWith(s transport.Stream) (free func()) {
	b.streams[s].repair <- struct{}{}
	return func() { <-b.streams[s].repair }
}

// Translate says of which kind a refusal of the server is.
func (b *Bus) Translate(err error) error { return b.translate(err) }

// NoteViolation and Violation are what the connection says, and what that means for a
// message published at a time.
func (b *Bus) NoteViolation(err error, at time.Time) { b.violations.note(err, at) }
func (b *Bus) Violation(subject string, published time.Time) error {
	return b.violations.of(subject, published)
}

// Busy is as if somebody looked at the streams, until free is called.
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

// JudgeServer judges the server by what a look said, as if it had said nothing else
// for so long.
func (b *Bus) JudgeServer(err error, since time.Duration) {
	b.unreachable = time.Now().Add(-since)
	b.judgeServer(err)
}

// ForceBundles makes the bus send bundles of n whatever their readers say.
func (b *Bus) ForceBundles(n int) {
	b.most = func(s transport.Stream, _ string) int {
		if s.WorkQueue() {
			return n
		}
		return 0
	}
}

// Looked reports whether all dead letters have been looked at that this bus has stored.
func (b *Bus) Looked() bool {
	b.rings.looking <- struct{}{}
	defer func() { <-b.rings.looking }()
	return b.rings.some.Load() == 0 && b.rings.seen == b.rings.last.Load() && b.rings.seen > 0
}

// Latch is where the latch of the fence is, and Raise raises the fence if it is there.
func (b *Bus) Latch(ctx context.Context) uint64 {
	at, _ := claims{b}.latch(ctx)
	return at
}

func (b *Bus) Raise(ctx context.Context, latch uint64) { claims{b}.raise(ctx, latch) }

// PurgePage bounds the dead letters that one call looks at.
const PurgePage = purgePage

// BundleMost bounds the messages in a bundle.
const BundleMost = bundle.Most

// Late is a delivery of a source that is not answered yet.
func Late(s transport.Source) transport.Delivery {
	return &delivery{source: s.(*source), msg: &nats.Msg{Subject: "saga.event.inventory.order-1.7.reserve.do.1"}}
}

// NotReady is what Connect waits for.
var NotReady = notReady
