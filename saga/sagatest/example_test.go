package sagatest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/saga/sagatest"
)

type trip struct {
	City string `json:"city"`
}
type room struct {
	Number int `json:"number"`
}
type payment struct {
	City string `json:"city"`
	Room int    `json:"room"`
}

var (
	book   = contract.NewCommand[trip, room]("hotels", "book")
	cancel = contract.UndoOf(book, "cancel")
	pay    = contract.NewCommand[payment, struct{}]("bank", "pay")

	holiday = saga.MustDefine[trip]("holiday",
		saga.Compensable("hotel", saga.Do(book, saga.Timeout(5*time.Second), saga.Retry(2, time.Second, time.Second)), saga.Undo(cancel)),
		saga.Pivot("pay", saga.Do(pay, saga.With(`{"city": input.city, "room": result.hotel.number}`))))
)

func TestAllWell(t *testing.T) {
	var asked payment
	sagatest.Start(t, holiday, trip{"Oslo"}).
		ExpectCommands("do hotel").
		Completed("hotel", room{7}).
		ExpectCommands("do pay").
		Request("pay", &asked).
		Completed("pay", nil).
		ExpectPhase(contract.PhaseCompleted)
	if asked != (payment{"Oslo", 7}) {
		t.Errorf("the bank was asked for %+v", asked)
	}
}

func TestNoMoney(t *testing.T) {
	var undo contract.Undo[trip, room]
	sagatest.Start(t, holiday, trip{"Oslo"}).
		Completed("hotel", room{7}).
		Rejected("pay", "no money").
		ExpectPhase(contract.PhaseCompensating).
		ExpectReason("no money").
		ExpectCommands("do hotel", "do pay", "undo hotel").
		Request("hotel", &undo).
		Completed("hotel", nil).
		ExpectPhase(contract.PhaseCompensated)
	if undo.Request.City != "Oslo" || undo.Result == nil || undo.Result.Number != 7 {
		t.Errorf("the hotel was asked to undo %+v", undo)
	}
}

func TestSilence(t *testing.T) {
	sagatest.Start(t, holiday, trip{"Oslo"}).
		TimedOut("hotel").
		Retried("hotel").
		ExpectCommands("do hotel", "do hotel").
		TimedOut("hotel"). // the outcome is unknown: it is undone too
		ExpectCommands("undo hotel").
		After(time.Second).
		Failed("hotel", "down").
		Retried("hotel").
		Completed("hotel", nil).
		ExpectPhase(contract.PhaseCompensated)
}

func TestOperators(t *testing.T) {
	r := sagatest.Start(t, holiday, trip{"Oslo"}).
		Completed("hotel", room{7}).
		Fatal("pay", "cannot parse").
		ExpectPhase(contract.PhaseParked)
	if why := r.Refuses(api.Decision{Operation: contract.OperationCancel, Reason: "enough"}); !strings.Contains(why, "legal now: retry pay, resolve pay, skip pay, compensate, abandon") {
		t.Errorf("refused: %s", why)
	}
	r.Operate(api.Decision{Operation: contract.OperationResolve, Outcome: contract.OutcomeCompleted, Reason: "seen on the statement"}).
		ExpectPhase(contract.PhaseCompleted)
	if folded, err := machine.Fold(holiday.Plan(), r.History()); err != nil || folded.Phase != r.Instance().Phase {
		t.Errorf("the history folds to %s, %v", folded.Phase, err)
	}
}

// All of these can run a saga, because they have Helper and Fatalf.
var _ = []sagatest.TB{(*testing.T)(nil), (*testing.F)(nil), (*rapid.T)(nil)}

// recorder is a sagatest.TB that records how a test ends.
type recorder struct{ said string }

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	panic(r)
}

func TestItCanFail(t *testing.T) {
	for want, use := range map[string]func(*sagatest.Run){
		`commands ["do hotel"], want ["do pay"]`:         func(r *sagatest.Run) { r.ExpectCommands("do pay") },
		"there is no step flight; there are hotel, pay":  func(r *sagatest.Run) { r.Completed("flight", nil) },
		"pay does not wait for an answer: it is pending": func(r *sagatest.Run) { r.Completed("pay", nil) },
		"the saga is running, want completed":            func(r *sagatest.Run) { r.ExpectPhase(contract.PhaseCompleted) },
		"does not wait for another attempt":              func(r *sagatest.Run) { r.Retried("hotel") },
		"cancel is not refused":                          func(r *sagatest.Run) { r.Refuses(api.Decision{Operation: contract.OperationCancel, Reason: "x"}) },
	} {
		rec := new(recorder)
		func() {
			defer func() { _ = recover() }()
			use(sagatest.Start(rec, holiday, trip{"Oslo"}))
		}()
		if !strings.Contains(rec.said, want) || !strings.Contains(rec.said, "so far:") {
			t.Errorf("said %q, want %q", rec.said, want)
		}
	}
}

// A sequence of events reads like a sentence. The test fails if the saga behaves differently.
func ExampleStart() {
	t := new(recorder) // in a real test, its *testing.T

	var undo contract.Undo[trip, room]
	sagatest.Start(t, holiday, trip{"Oslo"}).
		ExpectCommands("do hotel").
		Completed("hotel", room{7}).
		ExpectCommands("do pay").
		Rejected("pay", "no money").
		ExpectReason("no money").
		ExpectCommands("undo hotel").
		Request("hotel", &undo).
		Completed("hotel", nil).
		ExpectPhase(contract.PhaseCompensated)

	fmt.Println("room", undo.Result.Number, "in", undo.Request.City, "was given back")
	// Output:
	// room 7 in Oslo was given back
}
