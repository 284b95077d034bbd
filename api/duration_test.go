package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/api"
)

// TestDurationJSON checks the JSON of durations in both directions.
func TestDurationJSON(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"0s"`: 0, `"30s"`: 30 * time.Second, `"0.5s"`: 500 * time.Millisecond, `"-1.25s"`: -1250 * time.Millisecond,
		`"0.000000001s"`: 1, `"863999999.999999999s"`: api.MaxDuration - 1,
	} {
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %s, %v; want %s", text, time.Duration(d), err, want)
		}
		if out, err := json.Marshal(d); err != nil || string(out) != text {
			t.Errorf("%s is written %s, %v; want %s", want, out, err, text)
		}
	}
}

// TestDurationIsOneSpelling checks that other texts are refused with the right spelling, and are not
// quoted.
func TestDurationIsOneSpelling(t *testing.T) {
	for _, text := range []string{
		"", "s", "30", "30ms", "1m", "1m30s", "+1s", "--1s", " 1s", "1 s", "01s", ".5s", "1.s", "1.0000000000s", "1e3s", "0x1s", "1_0s", "864000000s", "99999999999999999999s", "secret",
	} {
		var d api.Duration
		err := d.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), `"30s"`) || d != 0 {
			t.Errorf("%q is %s, %v; want it refused", text, d, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the text: %v", err)
		}
	}
}

// TestDurationRoundTrip checks that every duration up to the maximum keeps its value.
func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := api.Duration(rapid.Int64Range(-int64(api.MaxDuration)+1, int64(api.MaxDuration)-1).Draw(t, "nanoseconds"))
		var got api.Duration
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%d is written %s and read as %d, %v", want, want, got, err)
		}
	})
}
