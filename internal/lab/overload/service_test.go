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

// parcel is the input of every saga, and says how its handlers behave.
type parcel struct {
	N      int64 `json:"n"`
	Refuse bool  `json:"refuse,omitempty"` // the second step is rejected
	Panic  bool  `json:"panic,omitempty"`  // the second step's handler panics
	Hang   bool  `json:"hang,omitempty"`   // the second step's handler waits for the end of the test
	Huge   int   `json:"huge,omitempty"`   // the second step's result has so many bytes
}

// receipt is every answer.
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
	nothing = contract.NewCommand[parcel, receipt]("void", "nothing") // nobody serves it
	regret  = contract.UndoOf(nothing, "regret")
)

// deliver is the ordinary saga: three steps at two participants.
var deliver = saga.MustDefine[parcel]("deliver",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("carry", saga.Do(carry), saga.Undo(fetch)),
	saga.Retriable("sign", saga.Do(sign)))

// vanish is stuck at a participant that never answers, and tries often.
var vanish = saga.MustDefine[parcel]("vanish",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("nothing",
		saga.Do(nothing, saga.Timeout(500*time.Millisecond), saga.Retry(10_000, 100*time.Millisecond, time.Second)),
		saga.Undo(regret)))

// venture is for poison: it gives up soon.
var venture = saga.MustDefine[parcel]("venture",
	saga.Compensable("pick", saga.Do(pick), saga.Undo(putBack)),
	saga.Compensable("carry",
		saga.Do(carry, saga.Timeout(700*time.Millisecond), saga.Retry(2, 50*time.Millisecond, 100*time.Millisecond)),
		saga.Undo(fetch)),
	saga.Retriable("sign", saga.Do(sign)))

// service is one participant with its inbox, which outlives restarts.
type service struct {
	name  string
	inbox participant.MemoryInbox
	make  func(*service) *participant.Participant[*participant.MemoryTx]
}

// handling says how the handlers of a system work.
type handling struct {
	takes       time.Duration // each call
	concurrency int           // calls at once, per participant
	release     chan struct{} // closed at the end: lets hanging handlers go
}

// services are the two participants that work.
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

// carry is the second step, where things go wrong.
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

// forget lets the participants' inboxes go of what was answered before a time. They
// are in this process's memory, where those of a service are in its database.
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

// want is how the saga of an input has to end.
func (p parcel) want() contract.Phase {
	if p.Refuse || p.Panic || p.Huge > 0 {
		return contract.Compensated
	}
	return contract.Completed
}
