package participant

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// TestFateOf checks each line of the rule in docs/WIRE.md about unknown actions.
func TestFateOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const hour = time.Hour
	type is struct {
		delay  time.Duration
		failed string // part of the reason, if the command is answered
		final  bool
	}
	for _, c := range []struct {
		direction    contract.Direction
		redeliveries int
		left         time.Duration // remaining time of the attempt; 0 if it has no end
		want         is
	}{
		{contract.DirectionDo, 0, hour, is{delay: time.Second}},
		{contract.DirectionDo, 1, hour, is{delay: 2 * time.Second}},
		{contract.DirectionDo, 2, hour, is{delay: 4 * time.Second}},
		{contract.DirectionDo, 3, hour, is{delay: 8 * time.Second}},
		{contract.DirectionDo, 4, hour, is{delay: 10 * time.Second}},
		{contract.DirectionDo, 10, hour, is{delay: 10 * time.Second}},
		{contract.DirectionDo, 11, hour, is{failed: "delivered 12 times", final: true}},
		{contract.DirectionDo, 1_000_000, hour, is{failed: "delivered 1000001 times", final: true}},
		{contract.DirectionUndo, 10, hour, is{delay: 10 * time.Second}},
		{contract.DirectionUndo, 11, hour, is{failed: "delivered 12 times"}},

		// The command must be redelivered within its attempt. Otherwise the attempt times out
		// without a reason.
		{contract.DirectionDo, 0, 1500 * time.Millisecond, is{delay: time.Second}},
		{contract.DirectionDo, 0, time.Second, is{delay: 500 * time.Millisecond}},
		{contract.DirectionDo, 5, 8 * time.Second, is{delay: 4 * time.Second}},
		{contract.DirectionDo, 5, 499 * time.Millisecond, is{failed: "delivered 6 times in this attempt"}},
		{contract.DirectionDo, 11, 499 * time.Millisecond, is{failed: "delivered 12 times", final: true}},

		// A command of a backlog may have expired before its first delivery.
		{contract.DirectionDo, 0, -hour, is{delay: time.Second}},
		{contract.DirectionDo, 10, -hour, is{delay: 10 * time.Second}},
		{contract.DirectionDo, 11, -hour, is{failed: "delivered 12 times", final: true}},
		{contract.DirectionDo, 3, 0, is{delay: 8 * time.Second}},

		{contract.DirectionDo, -1, hour, is{failed: "cannot be handed back"}},
		{contract.DirectionUndo, -1, hour, is{failed: "cannot be handed back"}},
	} {
		command := &transport.Envelope{Direction: c.direction}
		if c.left != 0 {
			command.Expires = now.Add(c.left)
		}
		got := fateOf(command, c.redeliveries, now)
		name := fmt.Sprintf("%s, delivered %d times before, %s left", c.direction, c.redeliveries, c.left)
		if got.delay != c.want.delay || got.final != c.want.final || !strings.Contains(got.note, c.want.failed) || got.delay > 0 && got.note != "" {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestReturns: the number of commands that are handed back at the same time is limited. Commands
// that are due again do not count (I10).
func TestReturns(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r := returns{bound: 2}
	for i, c := range []struct {
		after, delay time.Duration
		taken        bool
	}{
		{0, time.Second, true},
		{0, 10 * time.Second, true},
		{0, time.Second, false},
		{time.Second - 1, time.Second, false},
		{time.Second, time.Second, true},
		{time.Second, time.Second, false},
		{10 * time.Second, time.Second, true},
		{10 * time.Second, time.Second, true},
	} {
		if taken := r.take(now.Add(c.after), c.delay); taken != c.taken {
			t.Errorf("the %dth, after %s: taken %t, want %t", i+1, c.after, taken, c.taken)
		}
	}
	if none := (&returns{}); none.take(now, time.Second) {
		t.Error("one was handed back although none may be")
	}
}

// TestNotices: the log has one line per action and interval, however many commands and names arrive
// (I10).
func TestNotices(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var n notices
	charge := &unknownAction{name: "payment.charge", dir: contract.DirectionDo}
	said := func(u *unknownAction, after time.Duration) int {
		commands, say := n.due(u, now.Add(after))
		if say != (commands > 0) {
			t.Errorf("say %t, %d commands", say, commands)
		}
		return commands
	}
	if got := said(charge, 0); got != 1 {
		t.Errorf("the first command stands for %d", got)
	}
	for range 500 {
		if said(charge, unknownEvery-1) > 0 {
			t.Fatal("it is said again at once")
		}
	}
	if got := said(&unknownAction{name: "payment.charge", dir: contract.DirectionUndo}, 0); got != 1 {
		t.Error("nothing is said of the other direction")
	}
	if got := said(charge, unknownEvery); got != 501 {
		t.Errorf("the next line stands for %d commands, want 501", got)
	}
	lines := 0
	for i := range 10_000 {
		if said(&unknownAction{name: fmt.Sprint("payment.action-", i), dir: contract.DirectionDo}, 0) > 0 {
			lines++
		}
	}
	if lines > maxUnknownNames || len(n.said) > maxUnknownNames+1 {
		t.Errorf("%d lines, %d names are kept; at most %d", lines, len(n.said), maxUnknownNames)
	}
}
