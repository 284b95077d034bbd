package coordinator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// writer turns effects into outbox records.
type writer struct {
	subjects transport.Subjects
	source   string // CloudEvents source attribute
	secret   []byte // key for hashing DedupID
	mac      hash.Hash
	tracer   Tracer // nil if tracing is off
}

// own returns a writer for a single Engine, with its own hash, which the writer reuses.
func (w writer) own() writer {
	w.mac = hmac.New(sha256.New, w.secret)
	return w
}

// records returns the outbox records for the effects of one decision.
func (w *writer) records(in *machine.Instance, eff *machine.Effects, at time.Time) []outbox.Record {
	if len(eff.Commands)+len(eff.Announcements) == 0 {
		return nil
	}
	out := make([]outbox.Record, 0, len(eff.Commands)+len(eff.Announcements))
	birth := in.Birth()
	trace := w.traced(in)
	for i := range eff.Commands {
		c := &eff.Commands[i]
		out = append(out, outbox.Record{
			ID:       outbox.ID{Saga: in.ID, Birth: birth, Revision: in.Revision, Index: uint16(c.Index)},
			To:       outbox.Destination(c.Participant),
			Envelope: w.command(in, c, at, trace),
		})
	}
	for i := range eff.Announcements {
		id := outbox.ID{Saga: in.ID, Birth: birth, Revision: in.Revision, Index: uint16(outbox.Announcements + i)}
		out = append(out, outbox.Record{
			ID:       id,
			Envelope: w.announcement(in, &eff.Announcements[i], id, at, trace),
		})
	}
	return out
}

// traced returns the trace context for the messages that a saga's current revision enqueues.
func (w *writer) traced(in *machine.Instance) string {
	if w.tracer == nil {
		return in.TraceParent
	}
	return w.tracer.Transit(in.ID, in.Revision, in.TraceParent)
}

func (w *writer) command(in *machine.Instance, c *machine.Command, at time.Time, trace string) transport.Envelope {
	key := contract.Key{Saga: in.ID, Birth: in.Birth(), Step: c.Step, Direction: c.Direction}
	id := transport.CommandID(key, c.Attempt)
	return transport.Envelope{
		Subject:     w.subjects.Command(c.Participant, c.Action),
		DedupID:     w.dedup(id),
		ID:          id,
		Source:      w.source,
		Type:        transport.TypeCommand,
		Time:        at,
		ContentType: c.ContentType,
		TraceParent: trace,
		Saga:        in.ID,
		Birth:       key.Birth,
		Definition:  in.Definition,
		Step:        c.Step,
		Direction:   c.Direction,
		Attempt:     c.Attempt,
		ReplyTo:     w.subjects.Event(c.Participant, key, c.Attempt),
		Expires:     c.Expires,
		Data:        c.Payload,
	}
}

// announcement returns the message for an announcement. Its data is the saga without its steps.
func (w *writer) announcement(in *machine.Instance, a *machine.Announcement, record outbox.ID, at time.Time, trace string) transport.Envelope {
	announced := status(nil, in, false)
	announced.Birth = record.Birth
	data, err := contract.EncodeJSON(announced)
	if err != nil { // impossible for strings, numbers and times; send nothing wrong
		data = []byte("null")
	}
	token := string(a.Phase)
	if a.Overdue {
		token = transport.TokenOverdue
	}
	id := record.MessageID()
	return transport.Envelope{
		Subject:     w.subjects.Lifecycle(in.Definition.Name, token),
		DedupID:     w.dedup(id),
		ID:          id,
		Source:      w.source,
		Type:        transport.TypeLifecycle,
		Time:        at,
		TraceParent: trace,
		Saga:        in.ID,
		Birth:       record.Birth,
		Definition:  in.Definition,
		Reason:      contract.Cut(a.Reason, transport.MaxReason), // of the event; the data has that of the saga
		Data:        data,
	}
}

// dedup returns a keyed hash of a message id. The bus deduplicates per stream, so without the key
// others could guess an id and suppress the message.
func (w *writer) dedup(id string) string {
	w.mac.Reset()
	w.mac.Write([]byte(id))
	return hex.EncodeToString(w.mac.Sum(nil)[:16])
}
