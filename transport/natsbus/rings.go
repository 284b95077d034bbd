package natsbus

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Each participant has its own ring in the dead-letter stream. When a participant's dead letters
// exceed a share of the stream's bytes, the participant's oldest dead letters are deleted, and the
// dead letters of other participants are kept (docs/adr/0021-dead-letter-rings.md).
const (
	ringShare = 8 // a ring may use 1/8 of the stream's bytes
	// allShare bounds all rings together, in eighths of the stream's bytes. Above this limit the
	// largest ring is shortened. Otherwise the stream itself would delete the oldest messages of
	// any participant.
	allShare     = 7
	ringSegments = 32 // number of parts of a ring; a part is deleted as a whole
	maxRings     = 1024
	ringTime     = 2 * time.Second // time limit of one update
)

// rings is an index of the dead-letter stream, built from the headers of its messages. Only a
// coordinator's bus, which receives answers, maintains the index.
type rings struct {
	bus  *Bus
	kept atomic.Bool   // whether this bus receives answers
	last atomic.Uint64 // the stream's last known sequence
	room atomic.Int64  // the stream's last known limit in bytes
	some atomic.Int64  // bytes stored by this bus since the last update

	looking chan struct{} // capacity 1; allows one update at a time; guards the fields below

	created time.Time
	seen    uint64
	rings   map[string]*ring // rings by their subject
}

// ring lists the dead letters of one subject, in order of sequence.
type ring struct {
	segments []segment
	bytes    int64
	letters  uint64
}

// segment is a part of a ring that is deleted as a whole.
type segment struct {
	last    uint64 // sequence of the last dead letter
	bytes   int64
	letters uint64
}

func newRings(b *Bus) *rings {
	r := &rings{bus: b, looking: make(chan struct{}, 1), rings: map[string]*ring{}}
	r.room.Store(b.config.DeadBytes)
	return r
}

// batch returns how many bytes of dead letters may be stored at once. The limit ensures that dead
// letters stored between two updates fit into the bytes that the rings leave unused.
func (r *rings) batch() int { return int(r.room.Load()) / ringShare / 4 }

// stored counts stored bytes. It updates the index when they reach 1/16 of the stream's limit.
func (r *rings) stored(ctx context.Context, bytes int) {
	if r.some.Add(int64(bytes)) >= r.room.Load()/ringShare/2 {
		r.look(ctx)
	}
}

// look indexes new dead letters and deletes excess ones. It takes at most about ringTime; the next
// call continues.
func (r *rings) look(ctx context.Context) {
	b := r.bus
	if !r.kept.Load() || !b.nc.IsConnected() {
		return
	}
	select {
	case r.looking <- struct{}{}:
		defer func() { <-r.looking }()
	case <-ctx.Done():
		return
	}
	if r.last.Load() <= r.seen && r.some.Load() == 0 && !r.created.IsZero() {
		return // there is nothing new
	}
	ctx, cancel := context.WithTimeout(ctx, ringTime)
	defer cancel()
	if err := r.update(ctx); err != nil && ctx.Err() == nil {
		b.config.Logger.Warn("cannot trim the dead letters of participants; retrying", "error", err)
	}
}

// update indexes new dead letters, and evicts old ones.
func (r *rings) update(ctx context.Context) error {
	stream, err := r.bus.deadStream(ctx)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(r.created) || info.State.LastSeq < r.seen {
		r.created, r.seen = info.Created, 0
		clear(r.rings)
	}
	room := info.Config.MaxBytes
	if room <= 0 {
		room = r.bus.config.DeadBytes
	}
	r.room.Store(room)
	r.last.Store(info.State.LastSeq)
	r.some.Store(0)
	if info.State.LastSeq > r.seen {
		err = r.bus.scan(ctx, r.bus.subjects.All(transport.StreamDeadLetters), r.seen+1, func(l *scanned) bool {
			r.add(l, room)
			return true
		})
		if err != nil {
			return err
		}
	}
	return r.evict(ctx, stream, room)
}

// add indexes a dead letter.
func (r *rings) add(l *scanned, room int64) {
	r.seen = l.sequence
	one := r.rings[l.subject]
	if one == nil {
		if len(r.rings) >= maxRings {
			return // further participants are limited only by the stream itself
		}
		one = &ring{}
		r.rings[l.subject] = one
	}
	one.bytes += l.bytes
	one.letters++
	n := len(one.segments)
	if n == 0 || one.segments[n-1].bytes >= room/ringShare/ringSegments {
		one.segments = append(one.segments, segment{})
		n++
	}
	s := &one.segments[n-1]
	s.last, s.bytes, s.letters = l.sequence, s.bytes+l.bytes, s.letters+1
}

// evict deletes the oldest dead letters of each ring that is too large. If all rings together are
// too large, it shortens the largest. The index may overestimate, because it still counts dead
// letters that were replayed or discarded or have expired. Therefore a ring is reindexed before its
// dead letters are deleted.
func (r *rings) evict(ctx context.Context, stream jetstream.Stream, room int64) error {
	for subject, one := range r.rings {
		if one.bytes <= room/ringShare {
			continue
		}
		if err := r.confirm(ctx, stream, subject, room); err != nil {
			return err
		}
		if err := r.shrink(ctx, subject, room/ringShare); err != nil {
			return err
		}
	}
	for {
		info, err := stream.Info(ctx)
		if err != nil {
			return err
		}
		excess := int64(info.State.Bytes) - room/ringShare*allShare
		subject := r.largest()
		if excess <= 0 || subject == "" {
			return nil
		}
		if err := r.confirm(ctx, stream, subject, room); err != nil {
			return err
		}
		one := r.rings[subject]
		if one == nil {
			continue
		}
		if len(one.segments) < 2 {
			return nil
		}
		if err := r.shrink(ctx, subject, max(one.bytes-excess, 0)); err != nil {
			return err
		}
	}
}

func (r *rings) largest() (subject string) {
	most := int64(0)
	for name, one := range r.rings {
		if one.bytes > most {
			subject, most = name, one.bytes
		}
	}
	return subject
}

// confirm reindexes a ring if the stream holds fewer of its dead letters than the index.
func (r *rings) confirm(ctx context.Context, stream jetstream.Stream, subject string, room int64) error {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return err
	}
	if info.State.Subjects[subject] >= r.rings[subject].letters {
		return nil
	}
	seen := r.seen
	delete(r.rings, subject)
	err = r.bus.scan(ctx, subject, 1, func(l *scanned) bool {
		if l.sequence > seen {
			return false // the next update finds it
		}
		r.add(l, room)
		return true
	})
	r.seen = seen
	if err != nil {
		delete(r.rings, subject)
		r.created = time.Time{} // reindex everything instead of keeping an incomplete ring
	}
	return err
}

// shrink deletes the oldest dead letters of a ring until the ring has at most the given number of
// bytes. It never deletes the last segment.
func (r *rings) shrink(ctx context.Context, subject string, bytes int64) error {
	one := r.rings[subject]
	if one == nil {
		return nil
	}
	n, gone := 0, segment{}
	for n < len(one.segments)-1 && one.bytes-gone.bytes > bytes {
		s := one.segments[n]
		gone = segment{s.last, gone.bytes + s.bytes, gone.letters + s.letters}
		n++
	}
	if n == 0 {
		return nil
	}
	purged, err := r.bus.purge(ctx, subject, gone.last)
	if err != nil {
		return err
	}
	one.segments = append([]segment(nil), one.segments[n:]...)
	one.bytes -= gone.bytes
	one.letters -= gone.letters
	r.bus.stats.deadEvicted.Add(int64(purged))
	r.bus.config.Logger.Warn("deleted a participant's oldest dead letters because its share of the stream is full",
		"participant", lastToken(subject), "subject", subject, "deleted", purged, "bytes", one.bytes)
	return nil
}

// scanned holds the metadata of a dead letter, without its data.
type scanned struct {
	sequence uint64
	subject  string
	stored   time.Time
	bytes    int64 // approximate size in the stream
	header   nats.Header
}

// headersOf decodes a delivery that has headers only.
func headersOf(m *nats.Msg) *scanned {
	l := &scanned{
		sequence: streamSequence(m.Reply), subject: m.Subject, stored: time.Unix(0, int64(storedAt(m.Reply))).UTC(),
		bytes: int64(m.Size()), header: m.Header,
	}
	for _, size := range m.Header["Nats-Msg-Size"] { // the server's value is last; the sender may have added others
		if n, err := strconv.ParseInt(size, 10, 32); err == nil && n >= 0 {
			l.bytes = int64(m.Size()) + n
		}
	}
	return l
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
