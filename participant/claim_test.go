package participant_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// under returns the command to count n with the given claim; 0 means no claim.
func under(claim uint64, n int) *transport.Envelope {
	key := contract.Key{Saga: contract.SagaID(fmt.Sprint("saga-", n)), Birth: 7, Step: "count", Direction: contract.DirectionDo}
	e := &transport.Envelope{
		Subject: transport.Subjects{}.Command("counter", "count"), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
		Direction: key.Direction, Attempt: 1, ReplyTo: transport.Subjects{}.Event("counter", key, 1), Data: fmt.Append(nil, n),
	}
	if claim != 0 {
		e.Owner = transport.Owner{Store: fmt.Sprint("store-", claim), Claim: claim}
	}
	return e
}

// TestReplacedOwner: a command of a replaced coordinator is not executed. It is handed back for up
// to twelve deliveries, and then dead-lettered with the coordinator in the reason. No other command
// waits for it (I11).
func TestReplacedOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		var log bytes.Buffer
		c := newCounting(membus.Options{}, participant.OnAnswer(r.add), participant.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		stop := c.start(t)
		send := func(claim uint64, n int) {
			if errs := c.bus.Publish(t.Context(), []transport.Envelope{*under(claim, n)}); errs != nil {
				t.Fatal(errs)
			}
			synctest.Wait()
		}
		send(5, 1)
		send(7, 2)
		for n := 10; n < 30; n++ {
			send(6, n)
		}
		send(7, 3)
		send(0, 4)
		c.wantAnswers(t, 4, transport.TypeCompleted)
		time.Sleep(85*time.Second - time.Millisecond) // virtual: 1 + 2 + 4 + 8 + 7 times 10 seconds are 85
		synctest.Wait()
		letters := func() []transport.DeadLetter {
			list, err := c.bus.ListDeadLetters(t.Context(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if list := letters(); len(list) != 0 {
			t.Errorf("%d dead letters before the last delivery", len(list))
		}
		time.Sleep(time.Millisecond) // virtual
		synctest.Wait()
		list := letters()
		if len(list) != 20 {
			t.Errorf("%d dead letters, want 20", len(list))
		}
		for _, l := range list {
			if !strings.HasPrefix(l.Reason, "stale command: it was sent under claim 6 of store store-6, but this participant has seen claim 7; the sending coordinator was replaced and the command not executed") {
				t.Errorf("the reason is %q", l.Reason)
			}
		}
		c.wantAnswers(t, 0)
		for n := 10; n < 30; n++ {
			if c.effect(n) != 0 {
				t.Fatalf("%d was counted for a coordinator that was replaced", n)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		back := 0
		for _, report := range r.all() {
			if report.HandedBack {
				back++
			}
		}
		if back != 20*11 || !strings.Contains(log.String(), "received a command from a coordinator that was replaced") {
			t.Errorf("%d reports say handed back, want %d; the log says %s", back, 20*11, log.String())
		}
	})
}

// TestClaimIsRemembered: the inbox stores the claim. A new process knows it at once, and another
// running process after at most a second (I11).
func TestClaimIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inbox := new(participant.MemoryInbox)
		process := func() func(claim uint64, n int) error {
			p := participant.New("counter", inbox)
			participant.Handle(p, count, func(context.Context, *participant.MemoryTx, int) (string, error) { return "counted", nil })
			return func(claim uint64, n int) error {
				_, err := p.Answer(t.Context(), under(claim, n))
				return err
			}
		}
		stale := func(err error) bool {
			var wrong *participant.CommandError
			return errors.As(err, &wrong) && strings.Contains(wrong.Reason, "replaced")
		}
		first, second := process(), process()
		for n, err := range []error{first(5, 1), second(5, 2), first(6, 3)} {
			if err != nil {
				t.Fatal(n, err)
			}
		}
		if err := first(5, 4); !stale(err) {
			t.Errorf("the process that has seen the newer claim answers the older one: %v", err)
		}
		if err := process()(5, 5); !stale(err) {
			t.Errorf("one that has just started answers it: %v", err)
		}
		time.Sleep(time.Second) // virtual
		if err := second(5, 6); !stale(err) {
			t.Errorf("one that had seen the older one last answers it after a second: %v", err)
		}
		if err := second(6, 7); err != nil {
			t.Error(err)
		}
	})
}

// behind is an inbox whose updates of a step wait for a signal of the test.
type behind struct {
	participant.MemoryInbox
	at, on chan struct{}
}

func (b *behind) Update(ctx context.Context, key participant.StepKey, work participant.Work[*participant.MemoryTx]) error {
	if key.Saga == "saga-1" {
		b.at <- struct{}{}
		<-b.on
	}
	return b.MemoryInbox.Update(ctx, key, work)
}

// TestReplacedWhileItWaits: a command waits for the lock of its entry, and in the meantime its
// owner is replaced. The command is not executed (I11).
func TestReplacedWhileItWaits(t *testing.T) {
	inbox := &behind{at: make(chan struct{}), on: make(chan struct{})}
	p := participant.New("counter", participant.Inbox[*participant.MemoryTx](inbox))
	called := 0
	participant.Handle(p, count, func(context.Context, *participant.MemoryTx, int) (string, error) { called++; return "counted", nil })
	ended := make(chan error)
	go func() {
		_, err := p.Answer(t.Context(), under(5, 1))
		ended <- err
	}()
	<-inbox.at
	if _, err := p.Answer(t.Context(), under(6, 2)); err != nil {
		t.Fatal(err)
	}
	close(inbox.on)
	var wrong *participant.CommandError
	if err := <-ended; !errors.As(err, &wrong) || called != 1 {
		t.Errorf("%v, and the handler was called %d times, want once", err, called)
	}
}
