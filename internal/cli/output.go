package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/internal/apipb"
	"github.com/amends-dev/amends/internal/terminal"
)

// outputFlag selects text for people or JSON for programs.
type outputFlag struct {
	Output string `short:"o" enum:"text,json" default:"text" env:"AMENDS_OUTPUT" help:"Output format: ${enum}."`
}

// print writes v as JSON, or calls text to write it for people. API messages are written in the
// API's format (docs/API.md).
func (o outputFlag) print(w *terminal.Stream, v any, text func(w *terminal.Stream)) error {
	if o.Output != "json" {
		text(w)
		return nil
	}
	if m, ok := v.(proto.Message); ok {
		data, err := apiJSON(m)
		if err != nil {
			return err
		}
		v = data
	}
	return w.JSON(v)
}

// apiJSON writes a message in the JSON of the API.
func apiJSON(m proto.Message) (json.RawMessage, error) {
	return apipb.EncodeJSON(m)
}

// stamp formats a time for people, or returns "" for nil.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

// since formats a time as a duration before or after now, or returns "" for nil.
func since(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	d := now.Sub(t.AsTime())
	if d < 0 {
		return "in " + short(-d)
	}
	return short(d) + " ago"
}

// short formats a duration, rounded to about two digits.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
