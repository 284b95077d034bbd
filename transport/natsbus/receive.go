package natsbus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// Receive implements transport.Source.
func (s *source) Receive(ctx context.Context, max int) ([]transport.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ready := s.takeReady(max); len(ready) > 0 {
			return s.handOut(ready), nil
		}
		batch, err := s.puller.Take(ctx, max)
		if err != nil {
			return nil, err
		}
		s.open(batch)
	}
}

// takeReady takes up to n deliveries of those that were opened.
func (s *source) takeReady(n int) []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.ready))
	taken := s.ready[:n:n]
	if s.ready = s.ready[n:]; len(s.ready) == 0 {
		s.ready = nil
	}
	return taken
}

func (s *source) handOut(ready []*delivery) []transport.Delivery {
	list := make([]transport.Delivery, len(ready))
	now := time.Now()
	var renewed *nats.Msg
	for i, d := range ready {
		if now.Sub(d.arrived) > s.sub.AckWait/2 && d.msg != renewed {
			d.InProgress()
			renewed = d.msg
		}
		if d.delivered > 1 {
			s.bus.stats.redelivered.Add(1)
		}
		list[i] = d
	}
	s.bus.stats.received.Add(int64(len(list)))
	return list
}

// open decodes a batch, bundles included, and makes it ready. What cannot be
// understood goes to the dead letters.
func (s *source) open(batch []pull.Message) {
	ready := make([]*delivery, 0, len(batch))
	list := make([]delivery, len(batch)) // one array for all
	var bad []*letter
	now := time.Now()
	for i, m := range batch {
		if now.Sub(m.Arrived) >= s.sub.AckWait {
			s.bus.stats.stale.Add(1) // AckWait has passed: it comes again
			continue
		}
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered = s, m.Msg, m.Arrived, timesDelivered(m.Reply)
		if participant, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok && s.sub.Stream.WorkQueue() {
			good, worse := s.openBundle(d, participant, n)
			ready, bad = append(ready, good...), append(bad, worse...)
			continue
		}
		var err error
		if d.envelope, err = decode(m.Msg); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.letter(err.Error()))
			continue
		}
		ready = append(ready, d)
	}
	s.mu.Lock()
	s.ready = append(s.ready, ready...)
	s.mu.Unlock()
	for _, l := range bad {
		crashpoint.Here("natsbus: malformed message received")
		l.delivery.answered.Store(true)
		if s.bus.dead.put(l) != nil {
			return // closed: it comes again
		}
		if s.bus.config.OnMalformed != nil {
			s.bus.config.OnMalformed(s.sub.Stream, l.reason)
		}
	}
}

// openBundle makes deliveries of a bundle's messages. A bundle that is none, or has
// a message of somebody else's, goes to the dead letters as it is: who sends is what
// its own subject says, for which the server vouches.
func (s *source) openBundle(whole *delivery, participant string, n int) (good []*delivery, bad []*letter) {
	frames, err := unpack(whole.msg.Data, n)
	for i := range frames {
		stream, _ := s.bus.subjects.StreamOf(frames[i].subject)
		if of := s.bus.subjects.Participant(frames[i].subject); stream != s.sub.Stream || of != participant {
			err = fmt.Errorf("message %d of the bundle has the subject %q; in a bundle on %s all are of %s and of %s", i+1, cut(frames[i].subject), cut(whole.msg.Subject), s.sub.Stream, participant)
			break
		}
	}
	if err != nil {
		return nil, []*letter{whole.letter(err.Error())}
	}
	crashpoint.Here("natsbus: bundle opened")
	all := &opened{frames: frames, left: len(frames)}
	list := make([]delivery, len(frames))
	for i := range frames {
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered, d.opened, d.place = s, whole.msg, whole.arrived, whole.delivered, all, i
		if d.envelope, err = decodeFrame(&frames[i]); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.letter(err.Error()))
			continue
		}
		good = append(good, d)
	}
	return good, bad
}

// weigh is how many deliveries a message will be.
func (s *source) weigh(m *nats.Msg) int {
	if _, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok {
		return min(n, bundleMost)
	}
	return 1
}

// opened is a bundle whose messages were handed out. The server is answered once,
// when all of them are: with the last word if all are done, or else by giving the
// whole bundle back.
type opened struct {
	frames []frame

	mu    sync.Mutex
	left  int
	again string // what gives it back; "": nothing does so far
}

// answered takes the answer of one message and returns that of the bundle, when it
// was the last one; "" before.
func (o *opened) answered(word string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if strings.HasPrefix(word, "-NAK") && len(word) >= len(o.again) { // the longer delay, roughly
		o.again = word
	}
	if o.left--; o.left > 0 {
		return ""
	}
	if o.again != "" {
		return o.again
	}
	return ack
}

// message is a frame as if it had come alone, and its headers as they were if they
// cannot be read.
func (f *frame) message(reply string) (m *nats.Msg, block string) {
	m = &nats.Msg{Subject: f.subject, Reply: reply, Data: f.data}
	header, err := nats.DecodeHeadersMsg([]byte(f.header))
	if err != nil {
		return m, f.header
	}
	m.Header = header
	return m, ""
}
