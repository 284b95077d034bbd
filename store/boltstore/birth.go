package boltstore

import (
	"bytes"
	"encoding/binary"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/saga/machine"
)

// birth holds the large, constant part of a saga's state. It is stored once, when the saga starts.
type birth struct {
	fingerprint, contentType, traceParent string

	input []byte
	start machine.StartDigest
}

func encodeBirth(in *machine.Instance) []byte {
	b := make([]byte, 0, len(in.Fingerprint)+len(in.ContentType)+len(in.TraceParent)+len(in.Input)+4*binary.MaxVarintLen64)
	b = appendBytes(b, []byte(in.Fingerprint))
	b = appendBytes(b, []byte(in.ContentType))
	b = appendBytes(b, []byte(in.TraceParent))
	return appendBytes(b, in.Input)
}

// withDigest returns the stored form of a birth: the digest of the start, followed by the encoded
// birth. Births are compared without this digest, because the digest never changes.
func withDigest(start machine.StartDigest, birth []byte) []byte {
	return append(append(make([]byte, 0, len(start)+len(birth)), start[:]...), birth...)
}

// parseBirth decodes the output of withDigest, and also returns the encoded birth without the
// digest. Both results share memory with b.
func parseBirth(b []byte) (out birth, began []byte, err error) {
	r := reader{b: b}
	start := r.take(uint64(len(out.start)))
	began = r.b
	out = birth{fingerprint: string(r.bytes()), contentType: string(r.bytes()), traceParent: string(r.bytes()), input: r.bytes()}
	copy(out.start[:], start)
	return out, began, r.err
}

// slim encodes the mutable part of the state. It omits the results in elsewhere, which are stored
// separately.
func slim(in *machine.Instance, elsewhere []given) ([]byte, error) {
	rest := *in
	rest.Fingerprint, rest.ContentType, rest.TraceParent, rest.Input = "", "", "", nil
	if len(elsewhere) > 0 {
		rest.Steps = append([]machine.StepState(nil), in.Steps...)
		for i := range elsewhere {
			rest.Steps[elsewhere[i].step].Result = nil
		}
	}
	return sagapb.MarshalInstance(&rest)
}

// whole assembles the state from its two parts. The results that slim omits are still missing.
func whole(slim []byte, b birth) (*machine.Instance, error) {
	in, err := sagapb.UnmarshalInstance(slim)
	if err != nil {
		return nil, err
	}
	in.Fingerprint, in.ContentType, in.TraceParent, in.Input = b.fingerprint, b.contentType, b.traceParent, own(b.input)
	return in, nil
}

// begins reports whether an event contains only its time and data that the birth contains too.
func begins(e *machine.Event, in *machine.Instance) bool {
	return e.Type == contract.EventStarted && e.ID == in.ID && e.ContentType == in.ContentType && e.TraceParent == in.TraceParent &&
		bytes.Equal(e.Payload, in.Input)
}

// begin adds the data of the birth to a saga's first event.
func (b *birth) begin(e *machine.Event, id contract.SagaID) {
	e.ID, e.ContentType, e.TraceParent, e.Payload = id, b.contentType, b.traceParent, own(b.input)
}

// own returns a copy that the caller may keep, or nil if b is empty.
func own(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
