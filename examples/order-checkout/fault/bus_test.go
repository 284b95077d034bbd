package fault

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// bench is an in-memory payment service behind a faulty bus.
type bench struct {
	t       *testing.T
	bus     *membus.Bus
	faulty  *Bus
	inbox   *participant.MemoryInbox
	mu      sync.Mutex
	charged map[contract.SagaID]int
	said    []string
	answers transport.Source
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, bus: membus.New(membus.Options{}), inbox: new(participant.MemoryInbox), charged: map[contract.SagaID]int{}}
	var err error
	if b.answers, err = b.bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"}); err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs the service until ctx ends or it crashes.
func (b *bench) serve(ctx context.Context) error {
	b.faulty = New(b.bus, func(_ contract.SagaID, what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, what)
	}, func() {})
	defer b.faulty.Close()
	p := participant.New("payment", b.inbox, participant.AckWait(3*time.Second))
	participant.Handle(p, checkout.ChargeCard, func(ctx context.Context, tx *participant.MemoryTx, _ checkout.Charge) (checkout.Receipt, error) {
		saga := participant.KeyFrom(ctx).Saga
		tx.OnCommit(func() { b.mu.Lock(); b.charged[saga]++; b.mu.Unlock() })
		return checkout.Receipt{ReceiptID: "R-1"}, nil
	})
	participant.HandleUndo(p, checkout.RefundCard, func(ctx context.Context, tx *participant.MemoryTx, _ contract.Undo[checkout.Charge, checkout.Receipt]) error {
		return errors.New("nothing was charged, and this was called")
	})
	return p.Run(ctx, b.faulty)
}

// command publishes a charge or a refund of a card.
func (b *bench) command(card, action string, direction contract.Direction, attempt int) {
	b.t.Helper()
	key := contract.Key{Saga: contract.SagaID(card), Birth: 7, Step: "charge-card", Direction: direction}
	var subjects transport.Subjects
	charge := checkout.Charge{OrderID: card, Card: card, Cents: 100}
	var data any = charge
	if direction == contract.DirectionUndo {
		data = contract.Undo[checkout.Charge, checkout.Receipt]{Request: charge}
	}
	text, err := json.Marshal(data)
	if err != nil {
		b.t.Fatal(err)
	}
	if errs := b.bus.Publish(b.t.Context(), []transport.Envelope{{
		Subject: subjects.Command("payment", action), Type: transport.TypeCommand, Time: time.Now(),
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: direction, Attempt: attempt,
		ReplyTo: subjects.Event("payment", key, attempt), Data: text,
	}}); errs != nil {
		b.t.Fatal(errs)
	}
}

// answer waits up to d for an answer, and returns its type and content.
func (b *bench) answer(d time.Duration) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	batch, err := b.answers.Receive(ctx, 1)
	if err != nil {
		return "none"
	}
	batch[0].Ack()
	e := batch[0].Envelope()
	return strings.TrimPrefix(e.Subject, "saga.event.payment.") + " " + e.Type
}

func (b *bench) expect(d time.Duration, want string) {
	b.t.Helper()
	if got := b.answer(d); got != want {
		b.t.Errorf("answer %q, want %q", got, want)
	}
}

func (b *bench) expectSaid(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.EqualFunc(b.said, want, strings.Contains) {
		b.t.Errorf("said %q, want %q", b.said, want)
	}
}

// running runs a test while the service runs, in virtual time.
func running(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.serve(ctx) }()
		synctest.Wait()
		test(b)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for saga, n := range b.charged {
			if n != 1 {
				t.Errorf("%s was charged %d times", saga, n)
			}
		}
	})
}

func TestPlain(t *testing.T) {
	running(t, func(b *bench) {
		b.command("visa", "charge-card", contract.DirectionDo, 1)
		b.expect(time.Second, "visa.7.charge-card.do.1 "+transport.TypeCompleted)
		b.expectSaid()
	})
}

func TestSlow(t *testing.T) {
	running(t, func(b *bench) {
		b.command(Slow, "charge-card", contract.DirectionDo, 1)
		b.expect(2*time.Second, "none")
		b.command(Slow, "charge-card", contract.DirectionDo, 2)
		b.expect(500*time.Millisecond, "test-slow.7.charge-card.do.2 "+transport.TypeCompleted)
		b.expect(time.Minute, "test-slow.7.charge-card.do.1 "+transport.TypeCompleted)
		b.expectSaid("the answer is delayed", "late answer")
	})
}

func TestTwice(t *testing.T) {
	running(t, func(b *bench) {
		b.command(Twice, "charge-card", contract.DirectionDo, 1)
		b.expect(time.Second, "test-twice.7.charge-card.do.1 "+transport.TypeCompleted)
		b.expect(time.Second, "test-twice.7.charge-card.do.1 "+transport.TypeCompleted)
		b.expect(time.Minute, "none")
		b.expectSaid("on the bus twice")
	})
}

func TestLate(t *testing.T) {
	running(t, func(b *bench) {
		b.command(Late, "charge-card", contract.DirectionDo, 1)
		b.expect(2*time.Second, "none")
		b.command(Late, "charge-card", contract.DirectionDo, 2)
		b.expect(2*time.Second, "none")
		b.command(Late, "refund-card", contract.DirectionUndo, 1)
		b.expect(100*time.Millisecond, "test-late.7.charge-card.undo.1 "+transport.TypeCompleted)
		late := []string{b.answer(time.Second), b.answer(time.Second)}
		slices.Sort(late)
		if want := []string{"test-late.7.charge-card.do.1 " + transport.TypeRejected, "test-late.7.charge-card.do.2 " + transport.TypeRejected}; !slices.Equal(late, want) {
			b.t.Errorf("answers %q, want %q", late, want)
		}
		b.expectSaid("held up", "a tombstone is stored", "is refused")
		if len(b.charged) != 0 {
			t.Error("the card was charged after all")
		}
	})
}

// TestLateWithoutUndo checks that a charge is not held back forever.
func TestLateWithoutUndo(t *testing.T) {
	running(t, func(b *bench) {
		b.command(Late, "charge-card", contract.DirectionDo, 1)
		b.expect(holdLimit-time.Second, "none")
		b.expect(2*time.Second, "test-late.7.charge-card.do.1 "+transport.TypeCompleted)
	})
}

// TestCrash checks a crash after the card is charged and before the answer is sent. After the
// restart, the service sends the answer that the inbox recorded.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ended := make(chan error, 1)
		go func() { ended <- b.serve(t.Context()) }()
		synctest.Wait()
		b.command(Crash, "charge-card", contract.DirectionDo, 1)
		if err := <-ended; !errors.Is(err, transport.ErrClosed) || !b.faulty.Crashed() {
			t.Fatalf("the service did not crash: %v", err)
		}
		b.expect(time.Minute, "none")
		if b.charged[Crash] != 1 {
			t.Fatalf("charged %d times before the crash, want once", b.charged[Crash])
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- b.serve(ctx) }()
		b.expect(time.Minute, "test-crash.7.charge-card.do.1 "+transport.TypeCompleted)
		if b.charged[Crash] != 1 {
			t.Errorf("charged %d times, want once", b.charged[Crash])
		}
		b.expectSaid("dies")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
