//go:build linux && lab

package overload

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// hung is the number of concurrent handlers that hang.
const hung = 4

// TestStuckSagasDelayNobody checks that two kinds of stuck sagas do not raise the p99 of the
// others: sagas that wait for an absent participant, and sagas that hang in a handler of a running
// one.
func TestStuckSagasDelayNobody(t *testing.T) {
	s := newSystem(t, handling{takes: 2 * time.Millisecond, concurrency: 16}, nil)
	c := s.keep(16, deliver, ordinary)
	c.measure(500 * time.Millisecond)
	alone := c.measure(2 * time.Second)

	for n := range 200 {
		s.must(vanish, fmt.Sprintf("stuck-%d", n), parcel{N: int64(n)})
	}
	for n := range hung {
		s.must(deliver, fmt.Sprintf("hung-%d", n), parcel{N: int64(n), Hang: true})
	}
	// The sagas are stuck once their first attempts have timed out.
	eventually(t, "the stuck sagas try again", func() bool {
		in, err := s.coord.store.Load(t.Context(), "stuck-199")
		return err == nil && in.Steps[1].Do.Attempt() > 1
	})
	beside := c.measure(2 * time.Second)
	c.stop()
	t.Logf("alone: %s; beside 200 stuck and %d hung sagas: %s", alone, hung, beside)

	c.check(t)
	if open := s.open(); open != 200+hung {
		t.Errorf("%d sagas are open, want the %d stuck ones", open, 200+hung)
	}
	atMost(t, "p99 beside stuck sagas in ms", beside.p99, 5*alone.p99+50)
	atLeast(t, "the rate beside stuck sagas, in percent", 100*beside.rate/alone.rate, 33)
}

// must starts a saga and fails the test if it cannot.
func (s *system) must(def *saga.Definition, id string, in parcel) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := s.client.Start(ctx, def, in, client.ID(contract.SagaID(id))); err != nil {
		s.t.Fatal(err)
	}
}

// poison holds invalid messages for the command stream and the event stream.
var poison = map[string][]string{
	"command": {"{", "", strings.Repeat("x", 300<<10), "\x00\xff"},
	"event":   {"{", "", strings.Repeat("x", 300<<10), "\x00\xff"},
}

// TestPoisonCostsItsOwnSagaOnly checks I9: panicking handlers, oversized results and undecodable
// messages affect only their own sagas.
func TestPoisonCostsItsOwnSagaOnly(t *testing.T) {
	s := newSystem(t, handling{takes: time.Millisecond, concurrency: 16}, nil)
	c := s.keep(16, deliver, ordinary)
	c.measure(300 * time.Millisecond)
	alone := c.measure(time.Second)

	bad := s.keep(12, venture, func(n int64) parcel {
		return [...]parcel{{N: n, Panic: true}, {N: n, Huge: contract.MaxPayload + 1}, {N: n, Huge: 2 << 20}}[n%3]
	})
	sent := s.pour(t, 20)
	if _, err := s.client.Start(t.Context(), deliver, make([]byte, contract.MaxPayload+1)); err == nil {
		t.Error("a start with too large an input was accepted")
	}
	beside := c.measure(2 * time.Second)
	bad.stop()
	c.stop()
	t.Logf("alone: %s; beside poison: %s; %d poisoned sagas went back", alone, beside, bad.ended.Load())

	c.check(t)
	bad.check(t) // all of them were compensated
	atLeast(t, "poisoned sagas that ended", float64(bad.ended.Load()), 12)
	atMost(t, "p99 beside poison in ms", beside.p99, 10*alone.p99+100)
	eventually(t, "every unreadable message was met", func() bool { return s.malform.Load() >= sent })
	eventually(t, "every unreadable message is in the dead letters", func() bool {
		letters, err := s.calls.ListDeadLetters(t.Context(), 0, 1000)
		return err == nil && int64(len(letters)) >= sent
	})
	if n := s.count(true).queued; n != 0 {
		t.Errorf("%d messages are left in the work queues", n)
	}
}

// pour publishes undecodable messages with a plain NATS client and returns their number.
func (s *system) pour(t *testing.T, rounds int) (sent int64) {
	t.Helper()
	for n := range rounds {
		for kind, bodies := range poison {
			for k, body := range bodies {
				subject := fmt.Sprintf("saga.command.south.carry-%d-%d", n, k)
				if kind == "event" {
					subject = fmt.Sprintf("saga.event.south.nobody-%d.7.carry.do.%d", n, k+1)
				}
				if _, err := s.calls.Conn().RequestWithContext(t.Context(), subject, []byte(body)); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}
	}
	return sent
}
