package transport_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// SetAttribute restores what Attributes yields, for every envelope.
func TestAttributesRoundTrip(t *testing.T) {
	name := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		want := transport.Envelope{
			ID:          rapid.StringN(0, -1, transport.MaxID).Draw(t, "id"),
			Source:      rapid.StringN(0, -1, transport.MaxSource).Draw(t, "source"),
			Type:        rapid.StringN(0, -1, transport.MaxType).Draw(t, "type"),
			ContentType: rapid.SampledFrom([]string{"", "application/json", `text/plain; charset="utf-8"`}).Draw(t, "content type"),
			TraceParent: rapid.SampledFrom([]string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}).Draw(t, "trace"),
			Saga:        contract.SagaID(rapid.StringMatching(`[A-Za-z0-9_:=@-]{0,40}`).Draw(t, "saga")),
			Birth:       contract.Birth(rapid.Int64Range(0, int64(contract.MaxBirth)).Draw(t, "birth")),
			Step:        contract.StepName(name.Draw(t, "step")),
			Direction:   rapid.SampledFrom([]contract.Direction{"", contract.DirectionDo, contract.DirectionUndo}).Draw(t, "direction"),
			Attempt:     rapid.IntRange(0, 1000).Draw(t, "attempt"),
			Definition:  contract.DefinitionRef{Name: name.Draw(t, "definition"), Version: rapid.IntRange(0, 9).Draw(t, "version")},
			Reason:      rapid.String().Draw(t, "reason"),
			Final:       rapid.Bool().Draw(t, "final"),
			Code:        rapid.StringN(0, -1, transport.MaxCode).Draw(t, "code"),
			RetryAfter:  time.Duration(rapid.IntRange(0, 86_400_000).Draw(t, "retry after")) * time.Millisecond,
			Time:        moment.Draw(t, "time"),
			Expires:     moment.Draw(t, "expires"),
			Owner:       rapid.SampledFrom([]transport.Owner{{}, {Store: "019ab1f2-0c4e-7d0a-9c1e-2f6a1b7c3d4e-0", Claim: 1_795_981_420}, {Store: "s", Claim: math.MaxUint64}}).Draw(t, "owner"),
		}
		var got transport.Envelope
		want.Attributes(func(name, value string) {
			if name != strings.ToLower(name) || value == "" {
				t.Fatalf("attribute %q is %q", name, value)
			}
			if err := got.SetAttribute(name, value); err != nil {
				t.Fatal(err)
			}
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// An AttributeError contains the attribute's name and only little of its value.
func TestAttributeError(t *testing.T) {
	var e transport.Envelope
	err := e.SetAttribute(transport.AttrAttempt, strings.Repeat("9", 10_000))
	var bad *transport.AttributeError
	if !errors.As(err, &bad) || bad.Name != transport.AttrAttempt || len(err.Error()) > 200 {
		t.Errorf("%v", err)
	}
	if err := e.SetAttribute("ce-whatever", "x"); err != nil {
		t.Errorf("an extension was refused: %v", err)
	}
}

// No input makes SetAttribute panic.
func FuzzSetAttribute(f *testing.F) {
	f.Add("ce-definition", "a/b/c")
	f.Add("ce-datacontenttype", "a/b;c=\"")
	f.Add("ce-time", "2026-02-30T00:00:00Z")
	f.Fuzz(func(t *testing.T, name, value string) {
		var e transport.Envelope
		_ = e.SetAttribute(name, value)
	})
}

// TestReasonsThatAreNotUTF8: an answer counts even if its reason is not valid UTF-8 (I12). Other
// attributes must be valid UTF-8.
func TestReasonsThatAreNotUTF8(t *testing.T) {
	for value, want := range map[string]string{"caf\xe9": "caf?", "\xff\xfe is cut\xff": "? is cut?", "café": "café", "\xed\xa0\x80": "?"} {
		var e transport.Envelope
		if err := e.SetAttribute(transport.AttrReason, value); err != nil || e.Reason != want {
			t.Errorf("%q is read as %q, %v", value, e.Reason, err)
		}
		if err := e.SetAttribute(transport.AttrSource, value); err == nil != (value == "café") {
			t.Errorf("a source %q: %v", value, err)
		}
	}
}
