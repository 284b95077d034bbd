package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// The payloads have the sizes of coordinator bench, so that both systems carry the same.
func TestPayload(t *testing.T) {
	for what, c := range map[string]struct {
		value any
		want  int
	}{"input": {input(1000), 214}, "answer": {answer(input(1000)), 87}} {
		text, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) != c.want {
			t.Errorf("the %s has %d bytes, want %d: %s", what, len(text), c.want, text)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"--in-flight", "1,64", "--for", "2s", "--mix", "compensating"}, io.Discard)
	if err != nil || !slices.Equal(o.numbers, []int{1, 64}) || o.d != 2*time.Second || o.mix != compensating {
		t.Errorf("parse: %+v, %v", o, err)
	}
	for _, arguments := range [][]string{
		{"--in-flight", "1,0"}, {"--in-flight", "1;2"}, {"--for", "0s"}, {"--mix", "well"}, {"--rounds", "0"},
		{"--partitions", "0"}, {"run"},
	} {
		if _, err := parse(arguments, io.Discard); err == nil {
			t.Errorf("parse %q: no error", arguments)
		}
	}
}

func TestSample(t *testing.T) {
	const metrics = `# TYPE synced_total counter
synced_total{db="metadata"} 74
synced_total{cluster="a",db="log"} 46
`
	if got, err := sample(metrics, "synced_total", `db="log"`); got != 46 || err != nil {
		t.Errorf("sample: %v, %v, want 46", got, err)
	}
	if got, err := sample(metrics, "synced", `db="log"`); err == nil {
		t.Errorf("sample of a metric that is not there: %v", got)
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 25 0 0 20 0")
	if want := 1750 * time.Millisecond; got != want || err != nil {
		t.Errorf("parseStat: %s, %v, want %s", got, err, want)
	}
	if got, err := parseStat("7 (a) S"); err == nil {
		t.Errorf("parseStat of a short line: %s", got)
	}
}

func TestQuantile(t *testing.T) {
	took := []time.Duration{time.Millisecond, 2 * time.Millisecond, 9 * time.Millisecond}
	if got := quantile(took, 0.5); got != 2 {
		t.Errorf("median %v, want 2", got)
	}
}

// A saga that fails ends the measurement with its error.
func TestMeasureReportsFailedSaga(t *testing.T) {
	failed := errors.New("no such service")
	l := &load{
		n: 2, d: time.Hour,
		one:   func(context.Context, int64) error { return failed },
		count: func(context.Context) (counters, error) { return counters{}, nil },
	}
	if _, err := l.measure(t.Context()); !errors.Is(err, failed) {
		t.Errorf("measure: %v, want %v", err, failed)
	}
}

func TestRows(t *testing.T) {
	got := rows(64, figures{SagasPerSecond: 300, P50Ms: 1}, figures{SagasPerSecond: 100, P50Ms: 4})
	if !strings.Contains(got, "| 64 | Amends ÷ Restate | 3.00 | 0.25 |") {
		t.Errorf("rows:\n%s", got)
	}
}
