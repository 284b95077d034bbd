package progress

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
)

func status(phase contract.Phase, steps ...api.Step) *api.Saga {
	return &api.Saga{Phase: phase, Steps: steps}
}

func TestStory(t *testing.T) {
	known := &api.Payload{JSON: json.RawMessage("{}")}
	for want, s := range map[string]*api.Saga{
		"opened, reserving …": status(contract.PhaseRunning,
			api.Step{Name: "open-order", Status: "done", Attempt: 1},
			api.Step{Name: "reserve-stock", Status: "doing", Attempt: 1},
			api.Step{Name: "charge-card", Status: "pending"}),
		"paid (attempt 2), charging (attempt 3) …": status(contract.PhaseRunning,
			api.Step{Name: "charge-card", Status: "done", Attempt: 2},
			api.Step{Name: "charge-card", Status: "doing", Attempt: 3}),
		"opened, reserved, card declined ⟲ restocked, cancelling …": status(contract.PhaseCompensating,
			api.Step{Name: "open-order", Status: "undoing", Attempt: 1},
			api.Step{Name: "reserve-stock", Status: "undone", Result: known},
			api.Step{Name: "charge-card", Status: "rejected", Reason: "card declined"}),
		"opened, charging: no answer ⟲ charge called off, cancelled": status(contract.PhaseCompensated,
			api.Step{Name: "open-order", Status: "undone", Result: known},
			api.Step{Name: "charge-card", Status: "undone"}),
	} {
		if got := Story(s); got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	}
}

// TestPlain checks that a pipe gets one line per event and no control characters.
func TestPlain(t *testing.T) {
	var out strings.Builder
	b := New(&out, 2)
	o := checkout.Order{OrderID: "order-1", Scenario: "all well"}
	b.Placed(o)
	b.Moved(o, status(contract.PhaseRunning))
	b.Say("order-1", "something happens")
	b.Ended(o, status(contract.PhaseCompleted, api.Step{Name: "open-order", Status: "done"}))
	b.Close()
	got := regexp.MustCompile(`\d+\.\ds`).ReplaceAllString(out.String(), "0.0s")
	want := "  0.0s ! order-1      something happens\n  0.0s ✓ order-1      all well         opened\n"
	if got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

// TestTerminal checks that the live region is removed before a permanent line is written.
func TestTerminal(t *testing.T) {
	var out strings.Builder
	b := New(&out, 2)
	b.width = func() int { return 60 }
	o := checkout.Order{OrderID: "order-1", Scenario: "all well"}
	b.Placed(o)
	b.Ended(o, status(contract.PhaseCompleted))
	b.Close()
	if n := strings.Count(out.String(), "\x1b[J"); n != 2 {
		t.Errorf("the live region was erased %d times, want 2: %q", n, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if plain := regexp.MustCompile(`\x1b\[[0-9]*[A-Za-z]`).ReplaceAllString(line, ""); len([]rune(plain)) > 60 {
			t.Errorf("a line is wider than the terminal: %q", plain)
		}
	}
}
