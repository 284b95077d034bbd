package outboxpb

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/transport"
)

// MarshalEnvelope encodes a message.
func MarshalEnvelope(e *transport.Envelope) ([]byte, error) { return AppendEnvelope(nil, e) }

// AppendEnvelope appends the encoding of a message to dst. It returns an error, and leaves dst
// unchanged, if the direction is unknown or a time is outside 1678 … 2261.
func AppendEnvelope(dst []byte, e *transport.Envelope) ([]byte, error) {
	m, err := envelopeMessage(e)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(dst, m); err == nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("encode envelope %.256q: %w", e.ID, err)
}

// UnmarshalEnvelope decodes the output of AppendEnvelope. The result shares no memory with data.
func UnmarshalEnvelope(data []byte) (*transport.Envelope, error) {
	m := new(amendsv1.Envelope)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read an envelope: %w", err)
	}
	e, err := fromEnvelope(m)
	if err != nil {
		return nil, fmt.Errorf("read envelope %.256q: %w", m.Id, err)
	}
	return &e, nil
}

func envelopeMessage(e *transport.Envelope) (*amendsv1.Envelope, error) {
	m := &amendsv1.Envelope{
		Subject:     e.Subject,
		DedupId:     e.DedupID,
		Id:          e.ID,
		Source:      e.Source,
		Type:        e.Type,
		ContentType: e.ContentType,
		TraceParent: e.TraceParent,
		TraceState:  e.TraceState,
		Saga:        string(e.Saga),
		Definition:  protoconv.Ref(e.Definition),
		Step:        string(e.Step),
		Attempt:     int64(e.Attempt),
		ReplyTo:     e.ReplyTo,
		Reason:      e.Reason,
		Final:       e.Final,
		Code:        e.Code,
		Data:        e.Data,

		BirthUnixMicro: int64(e.Birth),
		RetryAfterMs:   uint32(min(max(e.RetryAfter, 0), transport.MaxRetryAfter).Milliseconds()),
	}
	var errs [3]error
	m.Direction, errs[0] = protoconv.Directions.Optional(e.Direction)
	m.TimeUnixNano, errs[1] = protoconv.Nano("time", e.Time)
	m.ExpiresUnixNano, errs[2] = protoconv.Nano("time of expiry", e.Expires)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return m, nil
}

func fromEnvelope(m *amendsv1.Envelope) (transport.Envelope, error) {
	direction, err := protoconv.Directions.OptionalWord(m.Direction)
	if err != nil {
		return transport.Envelope{}, err
	}
	retryAfter := time.Duration(m.RetryAfterMs) * time.Millisecond
	if retryAfter > transport.MaxRetryAfter {
		return transport.Envelope{}, fmt.Errorf("the retry delay is %s; at most %s is allowed (MaxRetryAfter): the record is damaged or was written by a later release",
			retryAfter, transport.MaxRetryAfter)
	}
	return transport.Envelope{
		Subject:     m.Subject,
		DedupID:     m.DedupId,
		ID:          m.Id,
		Source:      m.Source,
		Type:        m.Type,
		Time:        protoconv.Time(m.TimeUnixNano),
		ContentType: m.ContentType,
		TraceParent: m.TraceParent,
		TraceState:  m.TraceState,
		Saga:        contract.SagaID(m.Saga),
		Definition:  protoconv.FromRef(m.Definition),
		Step:        contract.StepName(m.Step),
		Direction:   direction,
		Attempt:     int(m.Attempt),
		ReplyTo:     m.ReplyTo,
		Expires:     protoconv.Time(m.ExpiresUnixNano),
		Reason:      m.Reason,
		Final:       m.Final,
		Code:        m.Code,
		Data:        protoconv.Bytes(m.Data),

		Birth:      contract.Birth(m.BirthUnixMicro),
		RetryAfter: retryAfter,
	}, nil
}
