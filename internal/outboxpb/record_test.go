package outboxpb

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/transport"
)

var texts = rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) }))

var moments = rapid.Map(rapid.Int64(), func(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
})

var records = rapid.Custom(func(t *rapid.T) *outbox.Record {
	return &outbox.Record{
		ID: outbox.ID{
			Saga:     contract.SagaID(rapid.StringMatching(`[A-Za-z0-9_:=@-]{1,128}`).Draw(t, "saga")),
			Birth:    contract.Birth(rapid.Int64Min(1).Draw(t, "birth")),
			Revision: rapid.Uint64Min(1).Draw(t, "revision"),
			Index:    rapid.Uint16().Draw(t, "index"),
		},
		Envelope: transport.Envelope{
			Subject:     "saga." + texts.Draw(t, "subject"),
			DedupID:     texts.Draw(t, "dedup"),
			ID:          texts.Draw(t, "id"),
			Source:      texts.Draw(t, "source"),
			Type:        texts.Draw(t, "type"),
			Time:        moments.Draw(t, "time"),
			ContentType: texts.Draw(t, "content type"),
			TraceParent: texts.Draw(t, "trace parent"),
			TraceState:  texts.Draw(t, "trace state"),
			Saga:        contract.SagaID(texts.Draw(t, "saga attribute")),
			Birth:       contract.Birth(rapid.Int64().Draw(t, "birth attribute")),
			Definition:  contract.DefinitionRef{Name: rapid.String().Draw(t, "definition"), Version: rapid.Int().Draw(t, "version")},
			Step:        contract.StepName(texts.Draw(t, "step")),
			Direction:   rapid.SampledFrom([]contract.Direction{"", contract.DirectionDo, contract.DirectionUndo}).Draw(t, "direction"),
			Attempt:     rapid.Int().Draw(t, "attempt"),
			ReplyTo:     texts.Draw(t, "reply to"),
			Expires:     moments.Draw(t, "expires"),
			Reason:      texts.Draw(t, "reason"),
			Final:       rapid.Bool().Draw(t, "final"),
			Code:        texts.Draw(t, "code"),
			RetryAfter:  time.Duration(rapid.IntRange(0, 86_400_000).Draw(t, "retry after")) * time.Millisecond,
			Data:        rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 60)).Draw(t, "data"),
		},
		To: rapid.SampledFrom([]outbox.Destination{outbox.Lifecycle, "payment"}).Draw(t, "to"),
	}
})

// TestRecordLaws checks that decoding an encoded record returns an equal record without shared
// memory, that equal records have equal encodings, and that existing bytes in the buffer are kept.
func TestRecordLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := records.Draw(t, "record")
		out, err := AppendRecord([]byte("prefix"), r)
		if err != nil {
			t.Fatal(err)
		}
		record, ok := bytes.CutPrefix(out, []byte("prefix"))
		if !ok {
			t.Fatalf("the buffer's content became %q", out)
		}
		got, err := UnmarshalRecord(record)
		if err != nil {
			t.Fatal(err)
		}
		again, err := MarshalRecord(&got)
		if err != nil || !bytes.Equal(again, record) {
			t.Fatalf("second writing differs (%v)", err)
		}
		for i := range record {
			record[i] = 0xff
		}
		if diff := cmp.Diff(*r, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("came back different (-want +got):\n%s", diff)
		}
	})
}

// TestEnvelopeLaws checks the same for an envelope alone.
func TestEnvelopeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := records.Draw(t, "record").Envelope
		record, err := MarshalEnvelope(&e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalEnvelope(record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, *got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("came back different (-want +got):\n%s", diff)
		}
	})
}

// TestNoFieldIsForgotten checks that every struct has as many fields as its message. If you add a
// field, extend the message, the conversion and the generator of these tests.
func TestNoFieldIsForgotten(t *testing.T) {
	envelope := reflect.TypeFor[transport.Envelope]().NumField() - 3 // TraceDropped and Caller are set by the receiver, Owner by the sender
	if fields := (&amendsv1.Envelope{}).ProtoReflect().Descriptor().Fields().Len(); fields != envelope {
		t.Errorf("Envelope has %d fields and its message %d", envelope, fields)
	}
	record := reflect.TypeFor[outbox.Record]().NumField() - 1 + reflect.TypeFor[outbox.ID]().NumField()
	if fields := (&amendsv1.OutboxRecord{}).ProtoReflect().Descriptor().Fields().Len(); fields != record {
		t.Errorf("Record and its ID have %d fields and their message %d", record, fields)
	}
}

func minimal() *outbox.Record {
	return &outbox.Record{
		ID:       outbox.ID{Saga: "order-42", Birth: 1, Revision: 1},
		Envelope: transport.Envelope{Subject: "saga.command.payment.charge", Direction: contract.DirectionDo},
	}
}

// TestAppendRecordRefuses checks that a record which could not be decoded is not encoded.
func TestAppendRecordRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*outbox.Record){
		"saga id":              func(r *outbox.Record) { r.ID.Saga = "" },
		"revision is missing":  func(r *outbox.Record) { r.ID.Revision = 0 },
		"birth is missing":     func(r *outbox.Record) { r.ID.Birth = 0 },
		"subject is missing":   func(r *outbox.Record) { r.Envelope.Subject = "" },
		`direction "sideways"`: func(r *outbox.Record) { r.Envelope.Direction = "sideways" },
		"time of expiry 9999":  func(r *outbox.Record) { r.Envelope.Expires = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := minimal()
		spoil(r)
		out, err := AppendRecord([]byte("kept"), r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if string(out) != "kept" {
			t.Errorf("%s: buffer became %q", want, out)
		}
	}
	if _, err := MarshalRecord(minimal()); err != nil {
		t.Errorf("the record that is spoiled above is wrong by itself: %v", err)
	}
}

// TestUnmarshalRecordRefuses checks that damaged and incomplete records return errors that say so.
func TestUnmarshalRecordRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*amendsv1.OutboxRecord){
		"saga id":              func(m *amendsv1.OutboxRecord) { m.Saga = "a b" },
		"revision is missing":  func(m *amendsv1.OutboxRecord) { m.Revision = 0 },
		"birth is missing":     func(m *amendsv1.OutboxRecord) { m.BirthUnixMicro = 0 },
		"index 65536 is above": func(m *amendsv1.OutboxRecord) { m.Index = 65536 },
		"envelope is missing":  func(m *amendsv1.OutboxRecord) { m.Envelope = nil },
		"subject is missing":   func(m *amendsv1.OutboxRecord) { m.Envelope.Subject = "" },
		"direction 3 is not":   func(m *amendsv1.OutboxRecord) { m.Envelope.Direction = 3 },
		"later release":        func(m *amendsv1.OutboxRecord) { m.Envelope.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1}) },
	} {
		m, err := recordMessage(minimal())
		if err != nil {
			t.Fatal(err)
		}
		spoil(m)
		record, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := UnmarshalRecord(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v and %v", want, err, r)
		}
	}
	if _, err := UnmarshalRecord([]byte("\x22\x7f")); err == nil {
		t.Error("a truncated record was read")
	}
}

// FuzzUnmarshalRecord checks that arbitrary bytes never cause a panic, and that a decoded record
// can be encoded.
func FuzzUnmarshalRecord(f *testing.F) {
	record, err := MarshalRecord(minimal())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[:len(record)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		r, err := UnmarshalRecord(record)
		if err != nil {
			return
		}
		if _, err := MarshalRecord(&r); err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
	})
}
