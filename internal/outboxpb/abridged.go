package outboxpb

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/transport"
)

// These bits say which fields an abridged record omits or shortens, because these fields can be
// derived from others. The bits are stored, so they must never change.
const (
	leftSaga        = 1 << iota // saga and birth are those of the record's ID
	leftID                      // the id is saga/birth/step/direction/attempt or saga/birth/revision/index
	leftSource                  // the source is transport.CoordinatorSource
	leftCommand                 // the type is that of a command
	leftLifecycle               // the type is that of an announcement
	leftJSON                    // the content type is transport.JSON
	leftReply                   // the reply subject can be derived from subject and key
	dedupIsHex                  // the deduplication id is hexadecimal, and stored as bytes
	firstUnknownBit             // this bit and higher ones are of a later release
)

// AppendAbridged appends an encoding of the record to dst. The encoding omits the record's ID and
// To, which the caller stores separately, and all fields that can be derived. It takes a third of
// the space of AppendRecord's encoding. AppendAbridged returns an error for the same records as
// AppendRecord.
func AppendAbridged(dst []byte, r *outbox.Record) ([]byte, error) {
	if err := checkRecord(r); err != nil {
		return dst, fmt.Errorf("encode outbox record %s: %w", r.ID, err)
	}
	e := r.Envelope
	left := abridge(&e, r.ID)
	out, err := AppendEnvelope(binary.AppendUvarint(dst, left), &e)
	if err != nil {
		return dst, fmt.Errorf("encode outbox record %s: %w", r.ID, err)
	}
	return out, nil
}

// UnmarshalAbridged decodes the output of AppendAbridged for the record with this ID and To. The
// result shares no memory with data.
func UnmarshalAbridged(data []byte, id outbox.ID, to outbox.Destination) (outbox.Record, error) {
	r, err := fromAbridged(data, id, to)
	if err != nil {
		return outbox.Record{}, fmt.Errorf("read outbox record %s: %w", id, err)
	}
	return r, nil
}

func fromAbridged(data []byte, id outbox.ID, to outbox.Destination) (outbox.Record, error) {
	left, size := binary.Uvarint(data)
	if size <= 0 || left >= firstUnknownBit {
		return outbox.Record{}, errors.New("unknown header: the record is damaged or was written by a later release")
	}
	e, err := UnmarshalEnvelope(data[size:])
	if err != nil {
		return outbox.Record{}, err
	}
	if err := complete(e, left, id); err != nil {
		return outbox.Record{}, err
	}
	r := outbox.Record{ID: id, To: to, Envelope: *e}
	return r, checkRecord(&r)
}

// abridge removes the fields of an envelope that complete can restore, and returns their bits.
func abridge(e *transport.Envelope, id outbox.ID) (left uint64) {
	leave := func(bit uint64, field *string, same string) {
		if *field == same && same != "" && left&bit == 0 {
			*field, left = "", left|bit
		}
	}
	// The reply subject and the id are derived from the saga and the step, so they are removed
	// first.
	leave(leftReply, &e.ReplyTo, replyTo(e))
	if e.Saga == id.Saga && e.Birth == id.Birth {
		leave(leftID, &e.ID, usualID(e, id))
		e.Saga, e.Birth, left = "", 0, left|leftSaga
	}
	leave(leftSource, &e.Source, transport.CoordinatorSource)
	leave(leftCommand, &e.Type, transport.TypeCommand)
	leave(leftLifecycle, &e.Type, transport.TypeLifecycle)
	leave(leftJSON, &e.ContentType, transport.JSON)
	if isHex(e.DedupID) {
		raw := make([]byte, 0, 64) // more than the usual 16 bytes
		raw, _ = hex.AppendDecode(raw, []byte(e.DedupID))
		e.DedupID, left = string(raw), left|dedupIsHex
	}
	return left
}

// isHex reports whether s is a possible output of hex.EncodeToString.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) > 0 && len(s)%2 == 0
}

// complete restores the fields that abridge removed.
func complete(e *transport.Envelope, left uint64, id outbox.ID) error {
	put := func(bit uint64, field *string, is string) error {
		if left&bit == 0 {
			return nil
		}
		if *field != "" || is == "" {
			return errors.New("a field that is marked as omitted is present, or cannot be derived from the other fields")
		}
		*field = is
		return nil
	}
	if left&dedupIsHex != 0 {
		e.DedupID = hex.EncodeToString([]byte(e.DedupID))
	}
	if left&leftSaga != 0 {
		e.Saga, e.Birth = id.Saga, id.Birth
	}
	return errors.Join(
		put(leftReply, &e.ReplyTo, replyTo(e)),
		put(leftID, &e.ID, usualID(e, id)),
		put(leftSource, &e.Source, transport.CoordinatorSource),
		put(leftCommand, &e.Type, transport.TypeCommand),
		put(leftLifecycle, &e.Type, transport.TypeLifecycle),
		put(leftJSON, &e.ContentType, transport.JSON),
	)
}

// usualID returns the message id that the coordinator gives a record.
func usualID(e *transport.Envelope, id outbox.ID) string {
	if e.Step == "" {
		return id.MessageID()
	}
	return transport.CommandID(e.Key(), e.Attempt)
}

// replyTo returns the subject for the answer to a command, or "" if the envelope is not a command.
func replyTo(e *transport.Envelope) string {
	prefix, rest, ok := strings.Cut(e.Subject, ".command.")
	participant, _, more := strings.Cut(rest, ".")
	if !ok || !more || prefix == "" || e.Step == "" {
		return ""
	}
	return transport.Subjects{Prefix: prefix}.Event(participant, e.Key(), e.Attempt)
}
