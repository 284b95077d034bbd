package natsbus

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// openBundle returns deliveries for a bundle's messages. A malformed bundle, or one with a message
// of another participant, is dead-lettered as a whole: the sender is named by the bundle's subject,
// which the server has checked.
func (s *source) openBundle(whole *delivery, participant string, n int) (good []*delivery, bad []*deadEntry) {
	messages, err := bundle.Decode(whole.msg.Data, n)
	for i := range messages {
		stream, _ := s.bus.subjects.StreamOf(messages[i].Subject)
		if of := s.bus.subjects.Participant(messages[i].Subject); stream != s.sub.Stream || of != participant {
			err = fmt.Errorf("message %d of the bundle has the subject %q; in a bundle on %s all are of %s and of %s", i+1, cut(messages[i].Subject), cut(whole.msg.Subject), s.sub.Stream, participant)
			break
		}
	}
	if err != nil {
		return nil, []*deadEntry{whole.deadEntry(err.Error())}
	}
	group := bundle.NewGroup(len(messages), ack)
	list := make([]delivery, len(messages))
	for i := range messages {
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered, d.group, d.message, d.index = s, whole.msg, whole.arrived, whole.delivered, group, &messages[i], i+1
		if d.envelope, err = messages[i].Envelope(); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.deadEntry(err.Error()))
			continue
		}
		good = append(good, d)
	}
	return good, bad
}

// weigh returns how many deliveries a message contains.
func (s *source) weigh(m *nats.Msg) int {
	if _, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok {
		return min(n, bundle.Most)
	}
	return 1
}
