package coordinator_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// spans is a Tracer that records its calls.
type spans struct {
	mu  sync.Mutex
	all []coordinator.Transition
}

func (s *spans) Root(_ contract.SagaID, caller string) string            { return caller }
func (s *spans) Transit(_ contract.SagaID, _ uint64, root string) string { return root }
func (s *spans) Transition(t coordinator.Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, t)
}

// TestHiddenReasons checks that reasons from participants appear in no log and no span, neither
// alone nor as part of another reason. Reasons from operators and from the coordinator are shown.
func TestHiddenReasons(t *testing.T) {
	const theirs = "card 4111-1111"
	for _, hide := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, membus.Options{})
			defer w.close()
			var log bytes.Buffer
			traced := &spans{}
			if err := w.stopCoordinator(); err != nil {
				t.Fatal(err)
			}
			w.start(coordinator.Config{
				HideReasons: hide, Tracer: traced,
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			w.when(func(action string, _ int) error {
				switch action {
				case "charge":
					return participant.Reject(theirs + " declined")
				case "release":
					return participant.Fatal(errors.New(theirs + " is not known"))
				}
				return nil
			})
			if s := w.run("s1"); s.Phase != contract.PhaseParked || !strings.Contains(s.Reason, theirs) {
				t.Fatalf("it is %s: %s", s.Phase, s.Reason)
			}
			if _, err := client.New(w.bus).Operate(t.Context(), "s1", api.Decision{Operation: "abandon", By: "kim", Reason: "settled by phone"}); err != nil {
				t.Fatal(err)
			}
			w.when(func(action string, _ int) error {
				if action == "ship" {
					return errors.New(theirs + " comes later")
				}
				return nil
			})
			w.run("s2") // parked by the last answer, after all attempts
			if err := w.stopCoordinator(); err != nil {
				t.Fatal(err)
			}
			var told strings.Builder
			for _, tr := range traced.all {
				fmt.Fprintf(&told, "%+v\n", tr)
			}
			for what, text := range map[string]string{"log": log.String(), "spans": told.String()} {
				if strings.Contains(text, theirs) == hide {
					t.Errorf("hidden %v, the %s: %s", hide, what, text)
				}
				if !strings.Contains(text, "settled by phone") {
					t.Errorf("hidden %v, the %s lacks what an operator gave: %s", hide, what, text)
				}
				if strings.Contains(text, transport.Redacted) != hide {
					t.Errorf("hidden %v, the %s does not say that something was there: %s", hide, what, text)
				}
			}
		})
	}
}
