package outboxpb

import (
	"errors"
	"fmt"
	"math"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// MarshalRecord encodes a pending message.
func MarshalRecord(r *outbox.Record) ([]byte, error) { return AppendRecord(nil, r) }

// AppendRecord appends the encoding of a pending message to dst, so that a caller can reuse a
// buffer. It returns an error, and leaves dst unchanged, if the record could not be decoded later:
// if the saga, birth, revision or subject is missing, the direction is unknown, or a time is
// outside 1678 … 2261.
func AppendRecord(dst []byte, r *outbox.Record) ([]byte, error) {
	m, err := recordMessage(r)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(dst, m); err == nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("encode outbox record %s: %w", r.ID, err)
}

// UnmarshalRecord decodes the output of AppendRecord. The result shares no memory with data.
func UnmarshalRecord(data []byte) (outbox.Record, error) {
	m := new(amendsv1.OutboxRecord)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return outbox.Record{}, fmt.Errorf("read an outbox record: %w", err)
	}
	r, err := fromRecord(m)
	if err != nil {
		return outbox.Record{}, fmt.Errorf("read outbox record %.128q@%d#%d: %w", m.Saga, m.Revision, m.Index, err)
	}
	return r, nil
}

// checkRecord returns an error if a required field of the record is missing.
func checkRecord(r *outbox.Record) error {
	switch {
	case r.ID.Revision == 0:
		return errors.New("revision is missing: it must be at least 1")
	case r.ID.Birth <= 0:
		return errors.New("birth is missing: every message belongs to a saga that has a start time")
	case r.Envelope.Subject == "":
		return errors.New("subject is missing: a message cannot be sent without one")
	}
	return r.ID.Saga.Check()
}

func recordMessage(r *outbox.Record) (*amendsv1.OutboxRecord, error) {
	if err := checkRecord(r); err != nil {
		return nil, err
	}
	envelope, err := envelopeMessage(&r.Envelope)
	if err != nil {
		return nil, err
	}
	return &amendsv1.OutboxRecord{
		Saga:     string(r.ID.Saga),
		Revision: r.ID.Revision,
		Index:    uint32(r.ID.Index),
		Envelope: envelope,
		To:       string(r.To),

		BirthUnixMicro: int64(r.ID.Birth),
	}, nil
}

func fromRecord(m *amendsv1.OutboxRecord) (outbox.Record, error) {
	if m.Index > math.MaxUint16 {
		return outbox.Record{}, fmt.Errorf("index %d is above the maximum of %d", m.Index, math.MaxUint16)
	}
	if m.Envelope == nil {
		return outbox.Record{}, errors.New("envelope is missing")
	}
	envelope, err := fromEnvelope(m.Envelope)
	if err != nil {
		return outbox.Record{}, err
	}
	r := outbox.Record{
		ID:       outbox.ID{Saga: contract.SagaID(m.Saga), Birth: contract.Birth(m.BirthUnixMicro), Revision: m.Revision, Index: uint16(m.Index)},
		Envelope: envelope,
		To:       outbox.Destination(m.To),
	}
	return r, checkRecord(&r)
}
