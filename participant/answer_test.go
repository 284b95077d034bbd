package participant_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
)

type reserve struct {
	Order    string `json:"order"`
	Quantity int    `json:"quantity"`
}

type reserved struct {
	Shelf int `json:"shelf"`
}

var (
	reserveStock = contract.NewCommand[reserve, reserved]("inventory", "reserve-stock")
	releaseStock = contract.UndoOf(reserveStock, "release-stock")
)

// service is an in-memory participant. Its handlers are controlled by a test.
type service struct {
	*participant.Participant[*participant.MemoryTx]
	inbox   *participant.MemoryInbox
	do      func(ctx context.Context, r reserve) (reserved, error)
	undo    func(ctx context.Context, u contract.Undo[reserve, reserved]) error
	effects int
	reports []participant.Report
}

func newService(undo []participant.UndoOption, opts ...participant.Option) *service {
	s := &service{
		inbox: new(participant.MemoryInbox),
		do:    func(context.Context, reserve) (reserved, error) { return reserved{Shelf: 7}, nil },
		undo:  func(context.Context, contract.Undo[reserve, reserved]) error { return nil },
	}
	opts = append(opts, participant.OnAnswer(func(r participant.Report) { s.reports = append(s.reports, r) }))
	s.Participant = participant.New("inventory", s.inbox, opts...)
	participant.Handle(s.Participant, reserveStock, func(ctx context.Context, tx *participant.MemoryTx, r reserve) (reserved, error) {
		tx.OnCommit(func() { s.effects++ })
		return s.do(ctx, r)
	})
	participant.HandleUndo(s.Participant, releaseStock, func(ctx context.Context, tx *participant.MemoryTx, u contract.Undo[reserve, reserved]) error {
		tx.OnCommit(func() { s.effects-- })
		return s.undo(ctx, u)
	}, undo...)
	return s
}

func doCommand() *transport.Envelope {
	return command(contract.DirectionDo, 1, "reserve-stock", `{"order":"42","quantity":3}`)
}

func undoCommand(result string) *transport.Envelope {
	return command(contract.DirectionUndo, 1, "release-stock", `{"request":{"order":"42","quantity":3},"result":`+result+`}`)
}

func command(direction contract.Direction, attempt int, action, data string) *transport.Envelope {
	key := contract.Key{Saga: "order-42", Birth: 7, Step: "reserve", Direction: direction}
	return &transport.Envelope{
		Subject:     transport.Subjects{}.Command("inventory", action),
		Type:        transport.TypeCommand,
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		TraceState:  "a=b",
		Saga:        key.Saga,
		Birth:       key.Birth,
		Definition:  contract.DefinitionRef{Name: "checkout", Version: 2},
		Step:        key.Step,
		Direction:   direction,
		Attempt:     attempt,
		ReplyTo:     transport.Subjects{}.Event("inventory", key, attempt),
		Data:        []byte(data),
	}
}

// answer answers a command and checks the type of the answer.
func (s *service) answer(t *testing.T, command *transport.Envelope, want string) *transport.Envelope {
	t.Helper()
	answer, err := s.Answer(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Type != want {
		t.Fatalf("answered %s %q, expected %s", answer.Type, answer.Reason, want)
	}
	return answer
}

func (s *service) wantEffects(t *testing.T, want int) {
	t.Helper()
	if s.effects != want {
		t.Fatalf("%d effects are in place, expected %d", s.effects, want)
	}
}

func TestAnswerEnvelope(t *testing.T) {
	s, command, began := newService(nil), doCommand(), time.Now()
	before := *command
	got := s.answer(t, command, transport.TypeCompleted)
	if !reflect.DeepEqual(before, *command) {
		t.Error("the command was changed")
	}
	if got.DedupID == "" || got.Time.Before(began) {
		t.Errorf("DedupID %q, Time %v", got.DedupID, got.Time)
	}
	got.DedupID, got.Time = "", time.Time{}
	want := &transport.Envelope{
		Subject: "saga.event.inventory.order-42.7.reserve.do.1", ID: "order-42/7/reserve/do/1/completed",
		Source: "/amends/participant/inventory", Type: transport.TypeCompleted, ContentType: transport.JSON,
		TraceParent: command.TraceParent, TraceState: "a=b", Saga: "order-42", Birth: 7,
		Definition: command.Definition, Step: "reserve", Direction: contract.DirectionDo, Attempt: 1, Data: []byte(`{"shelf":7}`),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if again := s.answer(t, command, transport.TypeCompleted); again.DedupID == got.DedupID {
		t.Error("two answers have the same DedupID")
	}
}

// TestErrors checks how the error of a handler becomes an answer, and what is recorded.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		outcome string
		final   bool
		reason  string
	}{
		{"error", errors.New("no connection"), transport.TypeFailed, false, "no connection"},
		{"fatal", participant.Fatal(errors.New("no such product")), transport.TypeFailed, true, "no such product"},
		{"rejection", participant.Rejectf("only %d left", 2), transport.TypeRejected, false, "only 2 left"},
		{"wrapped rejection", errors.Join(participant.Reject("sold out")), transport.TypeRejected, false, "sold out"},
		{"unprintable", errors.New("a\x00b\xffc" + strings.Repeat("x", 5000)), transport.TypeFailed, false, "a�b�c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(nil)
			s.do = func(context.Context, reserve) (reserved, error) { return reserved{}, c.err }
			got := s.answer(t, doCommand(), c.outcome)
			if got.Final != c.final || !strings.HasPrefix(got.Reason, c.reason) || len(got.Reason) > participant.MaxReason || len(got.Data) != 0 {
				t.Errorf("final %v, reason %q, data %q", got.Final, got.Reason, got.Data)
			}
			s.wantEffects(t, 0)
			s.do = func(context.Context, reserve) (reserved, error) { return reserved{}, nil }
			want := transport.TypeCompleted // a failure is not recorded, so the next attempt completes
			if c.outcome == transport.TypeRejected {
				want = transport.TypeRejected
			}
			s.answer(t, doCommand(), want)
		})
	}
	if participant.Fatal(nil) != nil || participant.IsFatal(errors.New("x")) || participant.IsRejection(nil) {
		t.Error("errors are told apart wrongly")
	}
}

// TestRejectionWrapsItsCause: a service's own tests can tell its rejections apart.
func TestRejectionWrapsItsCause(t *testing.T) {
	soldOut := errors.New("sold out")
	err := participant.Rejectf("coffee: %w", soldOut)
	if !participant.IsRejection(err) || !errors.Is(err, soldOut) || err.Error() != "coffee: sold out" {
		t.Errorf("the rejection is %q, and its cause is found: %t", err, errors.Is(err, soldOut))
	}
	s := newService(nil)
	s.do = func(context.Context, reserve) (reserved, error) { return reserved{}, err }
	if got := s.answer(t, doCommand(), transport.TypeRejected); got.Reason != "coffee: sold out" {
		t.Errorf("the reason is %q", got.Reason)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	s := newService(nil)
	s.do = func(context.Context, reserve) (reserved, error) { panic("index out of range") }
	got := s.answer(t, doCommand(), transport.TypeFailed)
	if !strings.Contains(got.Reason, "index out of range") || got.Final {
		t.Errorf("reason %q, final %v", got.Reason, got.Final)
	}
	s.wantEffects(t, 0)
	s.do = func(context.Context, reserve) (reserved, error) { return reserved{}, nil }
	s.answer(t, doCommand(), transport.TypeCompleted)
}

func TestHandlerTimeout(t *testing.T) {
	s := newService(nil, participant.HandlerTimeout(time.Millisecond))
	s.do = func(ctx context.Context, _ reserve) (reserved, error) {
		<-ctx.Done()
		return reserved{}, ctx.Err()
	}
	if got := s.answer(t, doCommand(), transport.TypeFailed); !strings.Contains(got.Reason, "deadline") {
		t.Errorf("reason %q", got.Reason)
	}
}

// TestExpiredIsServed: the result of an expired attempt is the answer to the next attempt.
func TestExpiredIsServed(t *testing.T) {
	s, late := newService(nil), doCommand()
	late.Expires = time.Now().Add(-time.Hour)
	s.answer(t, late, transport.TypeCompleted)
	s.wantEffects(t, 1)
}

// TestEndedContext: a command is not answered if its context ended while it was handled.
func TestEndedContext(t *testing.T) {
	s := newService(nil)
	ctx, cancel := context.WithCancel(t.Context())
	s.do = func(ctx context.Context, _ reserve) (reserved, error) {
		cancel()
		return reserved{}, ctx.Err()
	}
	if answer, err := s.Answer(ctx, doCommand()); answer != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestBadRequest(t *testing.T) {
	s := newService(nil)
	for _, data := range []string{``, `null`, `{"order":42}`, `nonsense`} {
		got := s.answer(t, command(contract.DirectionDo, 1, "reserve-stock", data), transport.TypeFailed)
		if !got.Final || !strings.Contains(got.Reason, "participant_test.reserve") {
			t.Errorf("%q: final %v, reason %q", data, got.Final, got.Reason)
		}
	}
	got := s.answer(t, command(contract.DirectionUndo, 1, "release-stock", `nonsense`), transport.TypeFailed)
	if !got.Final || !strings.Contains(got.Reason, `{"request": …, "result": … or null}`) {
		t.Errorf("undo: final %v, reason %q", got.Final, got.Reason)
	}
	s.answer(t, doCommand(), transport.TypeCompleted)
}

// TestUnanswerable: a message that is not a command for this participant causes an error for
// dead-lettering, and changes nothing (I9).
func TestUnanswerable(t *testing.T) {
	for want, spoil := range map[string]func(*transport.Envelope){
		"type":                          func(c *transport.Envelope) { c.Type = transport.TypeCompleted },
		"ce-sagaid":                     func(c *transport.Envelope) { c.Saga = "" },
		"saga id":                       func(c *transport.Envelope) { c.Saga = "order 42" },
		"ce-birth":                      func(c *transport.Envelope) { c.Birth = 0 },
		"birth":                         func(c *transport.Envelope) { c.Birth = -1 },
		"ce-step":                       func(c *transport.Envelope) { c.Step = "" },
		"step":                          func(c *transport.Envelope) { c.Step = "Reserve" },
		"ce-direction":                  func(c *transport.Envelope) { c.Direction = "" },
		`direction "sideways"`:          func(c *transport.Envelope) { c.Direction = "sideways" },
		"ce-attempt":                    func(c *transport.Envelope) { c.Attempt = 0 },
		"ce-replyto":                    func(c *transport.Envelope) { c.ReplyTo = "" },
		"event subject":                 func(c *transport.Envelope) { c.ReplyTo = "saga.command.payment.charge" },
		`action "Reserve"`:              func(c *transport.Envelope) { c.Subject = "saga.command.inventory.Reserve" },
		`belong to participant "invent`: func(c *transport.Envelope) { c.Subject = "saga.command.payment.reserve-stock" },
		`participant "inventory":`:      func(c *transport.Envelope) { c.Subject = "" },
	} {
		s, c := newService(nil), doCommand()
		spoil(c)
		answer, err := s.Answer(t.Context(), c)
		var wrong *participant.CommandError
		if answer != nil || !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("expected an error that says %q, got %+v, %v", want, answer, err)
		}
		s.wantEffects(t, 0)
		if len(s.reports) != 1 || s.reports[0].Outcome != "" || s.reports[0].Reason == "" {
			t.Errorf("reported %+v", s.reports)
		}
	}
}

func TestContext(t *testing.T) {
	s := newService(nil)
	s.do = func(ctx context.Context, _ reserve) (reserved, error) {
		if got := participant.KeyFrom(ctx).String(); got != "order-42/7/reserve/do" {
			t.Errorf("key %q", got)
		}
		if got := participant.Command(ctx); got.Attempt != 1 || got.TraceParent == "" {
			t.Errorf("command %+v", got)
		}
		return reserved{}, nil
	}
	s.answer(t, doCommand(), transport.TypeCompleted)
	if participant.Command(t.Context()) != nil || participant.KeyFrom(t.Context()) != (contract.Key{}) {
		t.Error("outside a handler there is a command")
	}
}

// TestUndoInput: the undo handler gets the request and the recorded result, whatever result the
// coordinator sends.
func TestUndoInput(t *testing.T) {
	for _, known := range []string{"null", `{"shelf":7}`, `{"shelf":8}`} {
		s := newService(nil)
		s.answer(t, doCommand(), transport.TypeCompleted)
		s.undo = func(_ context.Context, u contract.Undo[reserve, reserved]) error {
			if u.Request != (reserve{"42", 3}) || u.Result == nil || u.Result.Shelf != 7 {
				t.Errorf("undo of %+v, %+v", u.Request, u.Result)
			}
			return nil
		}
		s.answer(t, undoCommand(known), transport.TypeCompleted)
		s.wantEffects(t, 0)
		if last := s.reports[1]; !last.Called {
			t.Error("the undo handler was not called")
		}
	}
}

// TestUndoOfForgottenDo: the coordinator confirms a do for which the inbox has no entry. The undo
// handler gets the coordinator's result.
func TestUndoOfForgottenDo(t *testing.T) {
	s := newService(nil)
	s.undo = func(_ context.Context, u contract.Undo[reserve, reserved]) error {
		if u.Result == nil || u.Result.Shelf != 9 {
			t.Errorf("result %+v", u.Result)
		}
		return nil
	}
	s.answer(t, undoCommand(`{"shelf":9}`), transport.TypeCompleted)
	s.wantEffects(t, -1)
	s.answer(t, undoCommand(`{"shelf":9}`), transport.TypeCompleted)
	s.wantEffects(t, -1)
	s.answer(t, doCommand(), transport.TypeRejected)
}

// TestUndoUnrecorded: the undo handler is called after a failed do, which may have had effects
// outside the transaction.
func TestUndoUnrecorded(t *testing.T) {
	s := newService([]participant.UndoOption{participant.UndoUnrecorded()})
	s.do = func(context.Context, reserve) (reserved, error) {
		return reserved{}, errors.New("timeout at the provider")
	}
	s.answer(t, doCommand(), transport.TypeFailed)
	calls := 0
	s.undo = func(_ context.Context, u contract.Undo[reserve, reserved]) error {
		calls++
		if u.Result != nil {
			t.Errorf("result %+v", u.Result)
		}
		return nil
	}
	s.answer(t, undoCommand("null"), transport.TypeCompleted)
	s.answer(t, undoCommand("null"), transport.TypeCompleted)
	if calls != 1 {
		t.Errorf("the undo handler was called %d times, expected once", calls)
	}
	s.answer(t, doCommand(), transport.TypeRejected)
}

// TestRejectedUndo: after an operator has removed the cause, the undo can be retried.
func TestRejectedUndo(t *testing.T) {
	s := newService(nil)
	s.answer(t, doCommand(), transport.TypeCompleted)
	s.undo = func(context.Context, contract.Undo[reserve, reserved]) error {
		return participant.Reject("already shipped")
	}
	if got := s.answer(t, undoCommand("null"), transport.TypeRejected); got.Reason != "already shipped" {
		t.Errorf("reason %q", got.Reason)
	}
	s.wantEffects(t, 1)
	s.undo = func(context.Context, contract.Undo[reserve, reserved]) error { return nil }
	s.answer(t, undoCommand("null"), transport.TypeCompleted)
	s.wantEffects(t, 0)
}

// TestRecordedOutlivesCode: a recorded answer is sent even if the handler can no longer decode the
// request.
func TestRecordedOutlivesCode(t *testing.T) {
	s := newService(nil)
	first := s.answer(t, doCommand(), transport.TypeCompleted)
	newer := participant.New("inventory", s.inbox)
	participant.Handle(newer, contract.NewCommand[int, int]("inventory", "reserve-stock"),
		func(context.Context, *participant.MemoryTx, int) (int, error) { return 0, nil })
	got, err := newer.Answer(t.Context(), doCommand())
	if err != nil || string(got.Data) != string(first.Data) {
		t.Errorf("%+v, %v", got, err)
	}
}

// brokenInbox is an inbox whose database is unreachable.
type brokenInbox struct{ participant.MemoryInbox }

func (*brokenInbox) Update(context.Context, participant.StepKey, participant.Work[*participant.MemoryTx]) error {
	return errors.New("connection refused")
}

func TestBrokenInbox(t *testing.T) {
	p := participant.New("inventory", &brokenInbox{})
	participant.Handle(p, reserveStock, func(context.Context, *participant.MemoryTx, reserve) (reserved, error) {
		t.Error("the handler was called")
		return reserved{}, nil
	})
	got, err := p.Answer(t.Context(), doCommand())
	if err != nil || got.Type != transport.TypeFailed || got.Final || !strings.Contains(got.Reason, "connection refused") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReport(t *testing.T) {
	s := newService(nil)
	s.answer(t, doCommand(), transport.TypeCompleted)
	s.answer(t, doCommand(), transport.TypeCompleted)
	for i, called := range []bool{true, false} {
		got := s.reports[i]
		got.Took = 0
		want := participant.Report{
			Participant: "inventory", Action: "reserve-stock", Attempt: 1, Called: called, Outcome: contract.OutcomeCompleted,
			Key: contract.Key{Saga: "order-42", Birth: 7, Step: "reserve", Direction: contract.DirectionDo},
		}
		if got != want {
			t.Errorf("report %d: %+v, expected %+v", i, got, want)
		}
	}
}

// TestCheck: Check reports all problems together.
func TestCheck(t *testing.T) {
	p := participant.New[*participant.MemoryTx]("In ventory", nil)
	for _, want := range []string{`"In ventory"`, "no inbox", "no handlers"} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check does not say %q: %v", want, err)
		}
	}
	s := newService(nil)
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	handle := func(c contract.Command[int, int]) {
		participant.Handle(s.Participant, c, func(context.Context, *participant.MemoryTx, int) (int, error) { return 0, nil })
	}
	handle(contract.NewCommand[int, int]("payment", "charge"))
	handle(contract.NewCommand[int, int]("inventory", "reserve-stock"))
	handle(contract.NewCommand[int, int]("inventory", "Reserve"))
	_, err := s.Answer(t.Context(), doCommand())
	for _, want := range []string{`belongs to participant "payment"`, "two handlers", `"Reserve"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
