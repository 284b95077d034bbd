package boltstore

import (
	"bytes"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/saga/machine"
)

// birth holds the constant part of a saga's state. It is stored once, when the saga starts.
type birth struct {
	machine.Start

	digest machine.StartDigest
}

// withDigest returns the stored form of a birth: the digest of the start, followed by the encoded
// start. Births are compared without this digest, because the digest never changes.
func withDigest(digest machine.StartDigest, start []byte) []byte {
	return append(append(make([]byte, 0, len(digest)+len(start)), digest[:]...), start...)
}

// parseBirth decodes the output of withDigest, and also returns the encoded start, which shares
// memory with b.
func parseBirth(b []byte) (out birth, start []byte, err error) {
	r := reader{b: b}
	digest := r.take(uint64(len(out.digest)))
	if r.err != nil {
		return birth{}, nil, r.err
	}
	copy(out.digest[:], digest)
	out.Start, err = sagapb.UnmarshalStart(r.b)
	return out, r.b, err
}

// slim encodes the mutable part of the state. It omits the results in elsewhere, which are stored
// separately.
func slim(in *machine.Instance, elsewhere []given) ([]byte, error) {
	if len(elsewhere) > 0 {
		rest := *in
		rest.Steps = append([]machine.StepState(nil), in.Steps...)
		for i := range elsewhere {
			rest.Steps[elsewhere[i].step].Result = nil
		}
		in = &rest
	}
	return sagapb.MarshalRest(in)
}

// begins reports whether an event contains only its time and data that the birth contains too.
func begins(e *machine.Event, in *machine.Instance) bool {
	return e.Type == contract.EventStarted && e.ID == in.ID && e.ContentType == in.ContentType && e.TraceParent == in.TraceParent &&
		bytes.Equal(e.Payload, in.Input)
}

// begin adds the data of the birth to a saga's first event.
func (b *birth) begin(e *machine.Event) {
	e.ID, e.ContentType, e.TraceParent, e.Payload = b.ID, b.ContentType, b.TraceParent, b.Input
}

// own returns a copy that the caller may keep, or nil if b is empty.
func own(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
