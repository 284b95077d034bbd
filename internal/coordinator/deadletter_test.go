package coordinator_test

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// letters is an Observer that counts dead letters by class.
type letters struct {
	refusals

	mu      sync.Mutex
	classes []string
}

func (l *letters) DeadLetter(class string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.classes = append(l.classes, class)
}

func (l *letters) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.classes)
}

// If a step is rejected and later reported as completed, its effect will never be undone. The
// second answer becomes a dead letter with its own class, even if the saga has ended. In the
// reverse order the second answer is only late.
func TestContradictingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		var seen letters
		w.restart(coordinator.Config{Observer: &seen})
		w.when(func(action string, _ int) error {
			if action == "charge" {
				return participant.Reject("no money")
			}
			return nil
		})
		w.expect(w.run("s1"), contract.PhaseCompensated, "s1 reserve", "s1 release")
		for _, e := range []transport.Envelope{
			{Subject: "saga.event.stock.s1.9bkkzr8qo0.reserve.do.1", Type: transport.TypeRejected, Reason: "no, after all"},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeRejected, Reason: "no money"},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeCompleted, Data: []byte(`{"receipt":7}`)},
		} {
			if errs := w.bus.Publish(t.Context(), []transport.Envelope{e}); errs != nil {
				t.Fatal(errs)
			}
		}
		reasons := w.deadLetters()
		if len(reasons) != 1 || !strings.Contains(reasons[0], "its effect remains") || !slices.Equal(seen.seen(), []string{coordinator.DeadLetterContradiction}) {
			t.Errorf("dead letters %q of the classes %q, want one of a contradiction", reasons, seen.seen())
		}
	})
}

// A purge removes the dead letters that match. A filter that can match nothing, or matches
// everything by mistake, is refused. The log names the operator.
func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		var log notes
		c := w.start(coordinator.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for _, subject := range []string{"saga.event.bank.nobody.7.charge.do.1", "saga.event.bank.nobody.7.charge.do.2", "saga.event.post.x"} {
			if errs := w.bus.Publish(t.Context(), []transport.Envelope{{Subject: subject, Type: transport.TypeCompleted}}); errs != nil {
				t.Fatal(errs)
			}
		}
		synctest.Wait()
		purge := func(q api.PurgeDeadLettersRequest) (api.PurgeDeadLettersResponse, *transport.Envelope) {
			t.Helper()
			data, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			e := c.Handle(t.Context(), api.MethodPurgeDeadLetters, &transport.Envelope{Data: data})
			var reply api.PurgeDeadLettersResponse
			if e.Code == "" {
				err = json.Unmarshal(e.Data, &reply)
			}
			if err != nil {
				t.Fatal(err)
			}
			return reply, e
		}
		for _, wrong := range []api.PurgeDeadLettersRequest{
			{}, {DryRun: true}, {All: true, Stream: "events"}, {Stream: ">"}, {Participant: "*"}, {Participant: "a.b"},
			{Reason: strings.Repeat("x", 2000)}, {OlderThan: api.For(-1)}, {OlderThan: api.For(0)}, {OlderThan: api.For(1 << 60)},
		} {
			if _, e := purge(wrong); e.Code != string(api.CodeInvalidArgument) {
				t.Errorf("%+v: %q %s, want that it is refused", wrong, e.Code, e.Reason)
			}
		}
		for _, wider := range []string{`{"participant":"bank","stream":""}`, `{"reason":"","participant":"bank","by":""}`, `{"participant":"bank","Participant":"oven"}`} {
			if e := c.Handle(t.Context(), api.MethodPurgeDeadLetters, &transport.Envelope{Data: []byte(wider)}); e.Code != string(api.CodeInvalidArgument) {
				t.Errorf("%s: %q %s, want that it is refused", wider, e.Code, e.Reason)
			}
		}
		for _, q := range []struct {
			request api.PurgeDeadLettersRequest
			want    int
		}{
			{api.PurgeDeadLettersRequest{Participant: "bank", DryRun: true}, 2},
			{api.PurgeDeadLettersRequest{OlderThan: api.For(time.Minute)}, 0},
			{api.PurgeDeadLettersRequest{Participant: "bank", Reason: "no such saga", By: "ada"}, 2},
			{api.PurgeDeadLettersRequest{All: true}, 1},
		} {
			if reply, e := purge(q.request); e.Code != "" || reply.Matched != q.want || reply.NextCursor != 0 {
				t.Errorf("%+v: %+v %s, want %d", q.request, reply, e.Reason, q.want)
			}
		}
		time.Sleep(time.Second)
		if said := log.String(); !strings.Contains(said, `msg="dead letters purged" by=ada matched=2`) || strings.Count(said, "dead letters purged") != 3 {
			t.Errorf("the log says %s", said)
		}
	})
}

// If answers of sagas are repeated faster than they can be logged, the log has the first line of
// each kind, and not one line per message (I10).
func TestLogOfDeadLettersIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		var log notes
		w.start(coordinator.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}); err != nil {
			t.Fatal(err)
		}
		batch := make([]transport.Envelope, 500)
		for i := range batch {
			batch[i] = transport.Envelope{Subject: "saga.event.bank.nobody.7.charge.do.1", Type: transport.TypeCompleted}
		}
		if errs := w.bus.Publish(t.Context(), batch); errs != nil {
			t.Fatal(errs)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), `msg="dead letter`); n != 1 {
			t.Errorf("%d lines for %d dead letters of one kind at once, want 1", n, len(batch))
		}
		if n := len(w.deadLetters()); n != len(batch) {
			t.Errorf("%d dead letters, want %d: only the log is limited", n, len(batch))
		}
	})
}
