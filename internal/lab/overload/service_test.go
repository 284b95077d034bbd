//go:build linux && lab

package overload

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
)

// parcel is the input of every saga and controls how its handlers behave.
type parcel struct {
	N      int64 `json:"n"`
	Refuse bool  `json:"refuse,omitempty"` // the second step is rejected
	Panic  bool  `json:"panic,omitempty"`  // the second step's handler panics
	Hang   bool  `json:"hang,omitempty"`   // the second step's handler waits for the end of the test
	Huge   int   `json:"huge,omitempty"`   // size of the second step's result, in bytes
}

// receipt is the result of every step.
type receipt struct {
	N    int64  `json:"n"`
	Note string `json:"note,omitempty"`
}

var (
	pick    = contract.NewCommand[parcel, receipt]("north", "pick")
	putBack = contract.UndoOf(pick, "put-back")
	carry   = contract.NewCommand[parcel, receipt]("south", "carry")
	fetch   = contract.UndoOf(carry, "fetch")
	sign    = contract.NewCommand[parcel, receipt]("north", "sign")
	nothing = contract.NewCommand[parcel, receipt]("void", "nothing") // no participant serves it
	regret  = contract.UndoOf(nothing, "regret")
)

// deliver is the ordinary saga. It has three steps at two participants.
var deliver = saga.MustDefine[parcel]("deliver",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("carry", saga.Do(carry), saga.Undo(fetch)),
	saga.Retriable("sign", saga.Do(sign)))

// vanish waits for a participant that never answers, and retries often.
var vanish = saga.MustDefine[parcel]("vanish",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("nothing",
		saga.Do(nothing, saga.Timeout(500*time.Millisecond), saga.Retry(10_000, 100*time.Millisecond, time.Second)),
		saga.Undo(regret)))

// venture is the saga for poison. It gives up after few attempts.
var venture = saga.MustDefine[parcel]("venture",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("carry",
		saga.Do(carry, saga.Timeout(700*time.Millisecond), saga.Retry(2, 50*time.Millisecond, 100*time.Millisecond)),
		saga.Undo(fetch)),
	saga.Retriable("sign", saga.Do(sign)))

// service is a participant with its inbox. The inbox survives restarts of the participant.
type service struct {
	name  string
	inbox participant.MemoryInbox
	make  func(*service) *participant.Participant[*participant.MemoryTx]
}

// handling configures the handlers of a system.
type handling struct {
	takes       time.Duration // duration of each call
	concurrency int           // concurrent calls per participant
	release     chan struct{} // closed at the end to release hanging handlers
}

// services returns the two participants that answer.
func services(h handling) map[string]*service {
	build := func(name string, handlers func(*participant.Participant[*participant.MemoryTx])) *service {
		return &service{name: name, make: func(s *service) *participant.Participant[*participant.MemoryTx] {
			p := participant.New(s.name, &s.inbox, participant.Concurrency(h.concurrency),
				participant.Logger(slog.New(slog.DiscardHandler)), participant.GracePeriod(2*time.Second))
			handlers(p)
			return p
		}}
	}
	return map[string]*service{
		"north": build("north", func(p *participant.Participant[*participant.MemoryTx]) {
			participant.Handle(p, pick, h.do)
			participant.HandleUndo(p, putBack, h.undo)
			participant.Handle(p, sign, h.do)
		}),
		"south": build("south", func(p *participant.Participant[*participant.MemoryTx]) {
			participant.Handle(p, carry, h.carry)
			participant.HandleUndo(p, fetch, h.undo)
		}),
	}
}

func (h handling) do(ctx context.Context, _ *participant.MemoryTx, in parcel) (receipt, error) {
	pause(ctx, h.takes)
	return receipt{N: in.N}, ctx.Err()
}

func (h handling) undo(ctx context.Context, _ *participant.MemoryTx, _ contract.Undo[parcel, receipt]) error {
	pause(ctx, h.takes)
	return ctx.Err()
}

// carry handles the second step, which fails as its input requires.
func (h handling) carry(ctx context.Context, tx *participant.MemoryTx, in parcel) (receipt, error) {
	switch {
	case in.Refuse:
		return receipt{}, participant.Reject("too heavy")
	case in.Panic:
		panic("the parcel ticks")
	case in.Hang:
		select {
		case <-h.release:
		case <-ctx.Done():
		}
		return receipt{}, context.Canceled
	case in.Huge > 0:
		return receipt{N: in.N, Note: strings.Repeat("x", in.Huge)}, nil
	}
	return h.do(ctx, tx, in)
}

// forget removes the inbox entries that were answered before a time. The inboxes are in this
// process's memory, whereas a real service has its inbox in a database.
func (s *system) forget(before time.Time) {
	s.t.Helper()
	for _, one := range s.services {
		for n := 1; n > 0; {
			var err error
			if n, err = one.inbox.Prune(s.t.Context(), one.name, before, 1000); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// want returns the phase in which the saga of an input must end.
func (p parcel) want() contract.Phase {
	if p.Refuse || p.Panic || p.Huge > 0 {
		return contract.PhaseCompensated
	}
	return contract.PhaseCompleted
}
