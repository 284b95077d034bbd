package contract_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// births draws start times, usual ones and any that a birth can have.
var births = rapid.OneOf(
	rapid.Int64Range(1, 10_000),
	rapid.Int64Range(1_700_000_000_000_000, 4_000_000_000_000_000),
	rapid.Int64Range(1, int64(contract.MaxBirth)),
)

// TestBirthHasOneSpelling checks that a birth has exactly the spelling of docs/WIRE.md: the number
// in base 36, with the digits 0-9a-z and no prefix. Any other spelling must be refused (I9).
func TestBirthHasOneSpelling(t *testing.T) {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	rapid.Check(t, func(t *rapid.T) {
		n := births.Draw(t, "microseconds")
		spelling := ""
		for rest := n; rest > 0; rest /= 36 {
			spelling = string(digits[rest%36]) + spelling
		}
		b := contract.Birth(n)
		if b.String() != spelling || len(spelling) > contract.MaxBirthLength {
			t.Fatalf("%d is written %s, want %s", n, b, spelling)
		}
		if got, err := contract.ParseBirth(spelling); got != b || err != nil {
			t.Fatalf("%s is read as %d, %v", spelling, got, err)
		}
		if url.PathEscape(spelling) != spelling || strings.ContainsAny(spelling, " .*>/") {
			t.Fatalf("%s cannot stand in a URL and a subject", spelling)
		}
		for _, other := range []string{"0" + spelling, "+" + spelling, "-" + spelling, spelling + " ", " " + spelling, "_" + spelling, spelling + "0000000000000"} {
			if got, err := contract.ParseBirth(other); err == nil {
				t.Fatalf("%q is read as %d", other, got)
			}
		}
		if upper := strings.ToUpper(spelling); upper != spelling {
			if _, err := contract.ParseBirth(upper); err == nil {
				t.Fatalf("%q is read", upper)
			}
		}
	})
	// 1xb3m9wqsqo0 is the first microsecond of the year 10000, 1y2p0ij32e8e8 is 2^63.
	for _, bad := range []string{
		"", "0", "00", "-1", "1xb3m9wqsqo0", "hod85unsnpc0", "1y2p0ij32e8e8", "ä", "a.b", strings.Repeat("1", 1000),
	} {
		_, err := contract.ParseBirth(bad)
		if wrong := (*contract.NameError)(nil); !errors.As(err, &wrong) || len(err.Error()) > 250 {
			t.Errorf("%.99q: %v", bad, err)
		}
	}
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	if b := contract.BirthOf(last); b != contract.MaxBirth || len(b.String()) != contract.MaxBirthLength {
		t.Errorf("the last birth is %d, %s, want %d with %d characters", b, b, contract.MaxBirth, contract.MaxBirthLength)
	}
}

// TestBirthOf checks that a birth depends only on the start time, so that every replay produces the
// same one (I8).
func TestBirthOf(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, started := range []time.Time{noon, noon.In(time.FixedZone("", 3600)), noon.Add(999), time.Unix(0, noon.UnixNano())} {
		if b := contract.BirthOf(started); b.String() != "hod85snpc0" || !b.Time().Equal(noon) {
			t.Errorf("of %s it is %s, %s", started, b, b.Time())
		}
	}
	if contract.BirthOf(noon) == contract.BirthOf(noon.Add(time.Microsecond)) {
		t.Error("a microsecond makes no other birth")
	}
	for _, early := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0)} {
		if b := contract.BirthOf(early); b.String() != "1" {
			t.Errorf("of %s it is %s, want one that is not none", early, b)
		}
	}
	for _, late := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMicro(math.MaxInt64)} {
		b := contract.BirthOf(late)
		if read, err := contract.ParseBirth(b.String()); read != b || err != nil {
			t.Errorf("of %s it is %s, which is read as %d, %v", late, b, read, err)
		}
		if _, err := json.Marshal(b.Time()); err != nil {
			t.Errorf("of %s: %v", late, err)
		}
	}
	var read struct{ Birth contract.Birth }
	written, err := json.Marshal(map[string]any{"birth": contract.BirthOf(noon)})
	if err != nil || string(written) != `{"birth":"hod85snpc0"}` || json.Unmarshal(written, &read) != nil || read.Birth != contract.BirthOf(noon) {
		t.Errorf("as JSON it is %s (%v), read as %s", written, err, read.Birth)
	}
	if json.Unmarshal([]byte(`{"birth":"HOD85SNPC0"}`), &read) == nil {
		t.Error("another spelling is read")
	}
}

// TestKeyHasOneSpelling checks that parsing a key's text returns the same key, and that different
// keys have different texts.
func TestKeyHasOneSpelling(t *testing.T) {
	keys := rapid.Custom(func(t *rapid.T) contract.Key {
		return contract.Key{
			Saga:      contract.SagaID(rapid.StringMatching(`[A-Za-z0-9_:=@-]{1,128}`).Draw(t, "saga")),
			Birth:     contract.Birth(births.Draw(t, "birth")),
			Step:      contract.StepName(rapid.StringMatching(`[a-z][a-z0-9-]{0,63}`).Draw(t, "step")),
			Direction: rapid.SampledFrom([]contract.Direction{contract.DirectionDo, contract.DirectionUndo}).Draw(t, "direction"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := keys.Draw(t, "a"), keys.Draw(t, "b")
		if got, err := contract.ParseKey(a.String()); got != a || err != nil {
			t.Fatalf("%s is read as %s, %v", a, got, err)
		}
		if (a == b) != (a.String() == b.String()) {
			t.Fatalf("%+v and %+v are written %s and %s", a, b, a, b)
		}
		a.Direction = "sideways"
		if _, err := contract.ParseKey(a.String()); err == nil {
			t.Fatalf("%s is read", a)
		}
	})
	for _, bad := range []string{
		"", "a", "a/b", "order-42/charge-card/do", "order-42/hod85snpc0/charge-card/do/1", "order-42/hod85snpc0/charge-card/DO",
		"order-42//charge-card/do", "order-42/0hod85snpc0/charge-card/do", "order 42/hod85snpc0/charge-card/do", "/hod85snpc0/charge-card/do",
		"order-42/hod85snpc0/Charge/do", " order-42/hod85snpc0/charge-card/do", "order-42/hod85snpc0/charge-card/do\n", strings.Repeat("x/", 10_000),
	} {
		if k, err := contract.ParseKey(bad); err == nil || k != (contract.Key{}) || len(err.Error()) > 400 {
			t.Errorf("%.99q is read as %+v, %v", bad, k, err)
		}
	}
}

// FuzzParseKey checks that a parsed key is valid, and that its text is the parsed one.
func FuzzParseKey(f *testing.F) {
	f.Add("order-42/hod85snpc0/charge-card/do")
	f.Add("a/1/b/undo")
	f.Add("a/01/b/undo")
	f.Add("////")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := contract.ParseKey(text)
		if err == nil && (k.String() != text || k.Check() != nil) {
			t.Errorf("%q is read as %s, %v", text, k, k.Check())
		}
	})
}
