package participant_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// reports collects the calls of OnAnswer.
type reports struct {
	mu   sync.Mutex
	list []participant.Report
}

func (r *reports) add(report participant.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, report)
}

func (r *reports) all() []participant.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// ask publishes a command with an action that has no handler.
func (c *counting) ask(t *testing.T, n int, direction contract.Direction, action string, expires time.Time) {
	t.Helper()
	key := contract.Key{Saga: contract.SagaID(fmt.Sprint("saga-", n)), Birth: 7, Step: "count", Direction: direction}
	if errs := c.bus.Publish(t.Context(), []transport.Envelope{{
		Subject: transport.Subjects{}.Command("counter", action), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
		Direction: key.Direction, Attempt: 1, ReplyTo: transport.Subjects{}.Event("counter", key, 1), Expires: expires,
		Data: []byte(`{"request":1,"result":"one"}`),
	}}); errs != nil {
		t.Fatal(errs)
	}
}

// TestUnknownAction: a command with an unknown action is handed back for up to twelve deliveries.
// Then it is answered as failed, which is final for a do and not final for an undo. Nothing is
// dead-lettered, and known commands are not delayed (I9).
func TestUnknownAction(t *testing.T) {
	for _, direction := range []contract.Direction{contract.DirectionDo, contract.DirectionUndo} {
		synctest.Test(t, func(t *testing.T) {
			var r reports
			var log bytes.Buffer
			c := newCounting(membus.Options{}, participant.OnAnswer(r.add), participant.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			stop := c.start(t)
			for n := range 20 {
				c.ask(t, n, direction, "count-v2", time.Now().Add(time.Hour))
			}
			c.send(t, 100, 1)
			synctest.Wait()
			c.wantAnswers(t, 1, transport.TypeCompleted)
			time.Sleep(85*time.Second - time.Millisecond) // virtual: 1 + 2 + 4 + 8 + 7 times 10 seconds are 85
			c.wantAnswers(t, 0)
			time.Sleep(time.Millisecond) // virtual
			synctest.Wait()
			answers := c.answers(t)
			if len(answers) != 20 {
				t.Fatalf("%d answers, want 20", len(answers))
			}
			want := "unknown action: counter.count-v2 (" + string(direction) + "; delivered 12 times): deploy a process that handles it"
			for _, a := range answers {
				if a.Type != transport.TypeFailed || a.Final != (direction == contract.DirectionDo) || a.Reason != want {
					t.Errorf("answered %s, final %t, %q", a.Type, a.Final, a.Reason)
				}
			}
			time.Sleep(time.Hour) // virtual: they were acknowledged, and none is redelivered
			c.wantAnswers(t, 0)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			c.wantUnknown(t, r.all(), log.String())
		})
	}
}

// wantUnknown checks the reports, the log and the dead letters after TestUnknownAction.
func (c *counting) wantUnknown(t *testing.T, all []participant.Report, log string) {
	t.Helper()
	back := 0
	for _, report := range all {
		if report.HandedBack {
			back++
		}
		if report.HandedBack != (report.Outcome == "") || report.Called != (report.Action == "count") {
			t.Errorf("report %+v", report)
		}
	}
	if back != 20*11 || len(all) != 20*12+1 {
		t.Errorf("%d of %d reports say handed back, want %d of %d", back, len(all), 20*11, 20*12+1)
	}
	if n := strings.Count(log, "unknown action\""); n != 1 {
		t.Errorf("the log speaks of it %d times, want once:\n%s", n, log)
	}
	if n := strings.Count(log, "\n"); n != 1 {
		t.Errorf("the log has %d lines, want 1:\n%s", n, log)
	}
	if letters, err := c.bus.ListDeadLetters(context.Background(), 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

// TestUnknownActionInAShortAttempt: an attempt that is shorter than the delays is answered before
// it ends, so that the saga gets the reason. The failure is not final.
func TestUnknownActionInAShortAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{})
		stop := c.start(t)
		expires := time.Now().Add(2 * time.Second)
		c.ask(t, 1, contract.DirectionDo, "count-v2", expires)
		time.Sleep(2*time.Second - time.Millisecond) // virtual
		answers := c.answers(t)
		if len(answers) != 1 || answers[0].Final || !strings.Contains(answers[0].Reason, "delivered 4 times in this attempt") || !answers[0].Time.Before(expires) {
			t.Errorf("answers %+v", answers)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHandedBackAreBounded: at most a quarter of the messages in flight are handed back at the same
// time. The others are answered at once with a failure that is not final (I10).
func TestHandedBackAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.MaxInFlight(40))
		stop := c.start(t)
		for n := range 100 {
			c.ask(t, n, contract.DirectionDo, "count-v2", time.Time{})
		}
		c.send(t, 100, 1)
		synctest.Wait()
		answers := c.answers(t)
		if len(answers) != 91 {
			t.Errorf("%d answers at once, want 91", len(answers))
		}
		for _, a := range answers {
			if a.Type == transport.TypeFailed && (a.Final || !strings.Contains(a.Reason, "too many commands are handed back already")) {
				t.Errorf("answered %s, final %t, %q", a.Type, a.Final, a.Reason)
			}
		}
		time.Sleep(85 * time.Second) // virtual
		synctest.Wait()
		c.wantAnswers(t, 10, transport.TypeFailed)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNeighbourKnows: two processes share the commands, and only one of them knows an action. That
// process serves all commands, each once (I5).
func TestNeighbourKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{})
		newer := newCounting(membus.Options{})
		newer.bus = c.bus
		participant.Handle(newer.Participant, contract.NewCommand[any, string]("counter", "count-v2"),
			func(context.Context, *participant.MemoryTx, any) (string, error) { return "counted", nil })
		stop, stopNewer := c.start(t), newer.start(t)
		for n := range 200 {
			c.ask(t, n, contract.DirectionDo, "count-v2", time.Now().Add(time.Hour))
		}
		time.Sleep(2 * time.Minute) // virtual
		c.wantAnswers(t, 200, transport.TypeCompleted)
		for _, err := range []error{stop(), stopNewer()} {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestUnknownActionFromTheInbox: a process with the handler has recorded an answer. A process
// without the handler sends the recorded answer, unless only the handler can interpret the command
// (I5).
func TestUnknownActionFromTheInbox(t *testing.T) {
	undoOf := func(do, result string) *transport.Envelope {
		e := undoCommand(result)
		e.Step = contract.StepName(do)
		return e
	}
	doOf := func(name, data string) *transport.Envelope {
		e := command(contract.DirectionDo, 1, "reserve-stock", data)
		e.Step = contract.StepName(name)
		return e
	}
	newer := newService([]participant.UndoOption{participant.UndoUnrecorded()})
	newer.do = func(_ context.Context, r reserve) (reserved, error) {
		if r.Quantity == 0 {
			return reserved{}, participant.Reject("nothing to reserve")
		}
		return reserved{Shelf: 7}, nil
	}
	done, rejected := `{"order":"42","quantity":3}`, `{"order":"42","quantity":0}`
	newer.answer(t, doOf("done", done), transport.TypeCompleted)
	newer.answer(t, doOf("undone", done), transport.TypeCompleted)
	newer.answer(t, undoOf("undone", "null"), transport.TypeCompleted)
	newer.answer(t, doOf("rejected", rejected), transport.TypeRejected)

	older := participant.New("inventory", newer.inbox)
	participant.Handle(older, contract.NewCommand[int, int]("inventory", "count-stock"),
		func(context.Context, *participant.MemoryTx, int) (int, error) { return 0, nil })
	const unknown = "unknown action: inventory."
	for _, c := range []struct {
		command *transport.Envelope
		want    string
		reason  string
	}{
		{doOf("rejected", rejected), transport.TypeRejected, "nothing to reserve"},
		{undoOf("rejected", "null"), transport.TypeCompleted, ""},
		{doOf("undone", done), transport.TypeRejected, "already been undone"},
		{undoOf("undone", `{"shelf":7}`), transport.TypeCompleted, ""},
		{doOf("done", done), transport.TypeFailed, unknown + "reserve-stock (do;"},
		{undoOf("done", `{"shelf":7}`), transport.TypeFailed, unknown + "release-stock (undo;"},
		{doOf("never", done), transport.TypeFailed, unknown + "reserve-stock (do;"},
		{undoOf("never", "null"), transport.TypeFailed, unknown + "release-stock (undo;"},
	} {
		got, err := older.Answer(t.Context(), c.command)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != c.want || !strings.Contains(got.Reason, c.reason) || got.Final {
			t.Errorf("%s of %s: answered %s %q, final %t, want %s %q", c.command.Direction, c.command.Step, got.Type, got.Reason, got.Final, c.want, c.reason)
		}
	}
	// Nothing was recorded for the unknown action, so the newer process serves the command.
	newer.answer(t, doOf("never", done), transport.TypeCompleted)
	newer.answer(t, undoOf("done", "null"), transport.TypeCompleted)
}

// TestOtherDirection: an action is unknown if there is only a handler for its other direction.
func TestOtherDirection(t *testing.T) {
	s := newService(nil)
	got := s.answer(t, command(contract.DirectionUndo, 1, "reserve-stock", `{"request":null,"result":{"shelf":7}}`), transport.TypeFailed)
	if got.Final || !strings.Contains(got.Reason, "inventory.reserve-stock (undo; here its handler is for do;") {
		t.Errorf("final %t, %q", got.Final, got.Reason)
	}
	s.wantEffects(t, 0)
}

// TestUndoOfANewerProcess: data that this process cannot decode may come from a newer process. The
// failure of the undo is therefore not final, and the next attempt may reach the newer process.
func TestUndoOfANewerProcess(t *testing.T) {
	older := newService(nil)
	newer := participant.New("inventory", older.inbox)
	participant.Handle(newer, contract.NewCommand[reserve, []int]("inventory", "reserve-stock"),
		func(context.Context, *participant.MemoryTx, reserve) ([]int, error) { return []int{7, 8}, nil })
	if got, err := newer.Answer(t.Context(), doCommand()); err != nil || got.Type != transport.TypeCompleted {
		t.Fatal(got, err)
	}
	for _, undo := range []*transport.Envelope{
		undoCommand("null"), // the newer process has recorded the result
		command(contract.DirectionUndo, 1, "release-stock", `{"request":["42",3],"result":{"shelf":7}}`),
	} {
		if got := older.answer(t, undo, transport.TypeFailed); got.Final {
			t.Errorf("failed for good: %s", got.Reason)
		}
	}
	older.wantEffects(t, 0)
}
