//go:build lab

package timelapse

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/transport"
)

type transfer struct {
	Cents int `json:"cents"`
}

var (
	pay     = contract.NewCommand[transfer, struct{}]("bank", "pay")
	payBack = contract.UndoOf(pay, "pay-back")
	deliver = contract.NewCommand[transfer, struct{}]("post", "deliver")
	confirm = contract.NewCommand[transfer, struct{}]("office", "confirm")
)

// call records a handler call.
type call struct {
	at      time.Duration // age of the stack
	key     contract.Key
	attempt int
}

// bank is a participant that keeps its data and its inbox in one bbolt file and the same
// transactions. The test sets its handler.
type bank struct {
	s      *stack
	db     *bbolt.DB
	p      *participant.Participant[*bbolt.Tx]
	handle func(ctx context.Context, attempt int) error // nil completes every step

	mu      sync.Mutex
	calls   []call
	answers []participant.Report
}

var account = []byte("account")

func (s *stack) bank(options ...participant.Option) *bank {
	s.t.Helper()
	db, err := bbolt.Open(filepath.Join(s.dir, "bank.db"), 0o600, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.others = append(s.others, func() { _ = db.Close() })
	b := &bank{s: s, db: db}
	options = append(options, participant.OnAnswer(func(r participant.Report) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.answers = append(b.answers, r)
	}))
	b.p = participant.New("bank", boltinbox.New(db), options...)
	participant.Handle(b.p, pay, func(ctx context.Context, tx *bbolt.Tx, t transfer) (struct{}, error) {
		return struct{}{}, b.act(ctx, tx, t.Cents)
	})
	participant.HandleUndo(b.p, payBack, func(ctx context.Context, tx *bbolt.Tx, u contract.Undo[transfer, struct{}]) error {
		return b.act(ctx, tx, -u.Request.Cents)
	})
	return b
}

// act books the amount under the saga's id.
func (b *bank) act(ctx context.Context, tx *bbolt.Tx, cents int) error {
	key, attempt := participant.KeyFrom(ctx), participant.Command(ctx).Attempt
	b.mu.Lock()
	b.calls = append(b.calls, call{b.s.age(), key, attempt})
	b.mu.Unlock()
	if b.handle != nil {
		if err := b.handle(ctx, attempt); err != nil {
			return err
		}
	}
	books, err := tx.CreateBucketIfNotExists(account)
	if err != nil {
		return err
	}
	var was int
	_, _ = fmt.Sscan(string(books.Get([]byte(key.Saga))), &was)
	return books.Put([]byte(key.Saga), fmt.Append(nil, was+cents))
}

// did returns the calls of the handlers so far.
func (b *bank) did() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// answered counts the answers to a saga, and those of them that came from the inbox.
func (b *bank) answered(id contract.SagaID) (answers, fromInbox int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.answers {
		if r.Key.Saga != id {
			continue
		}
		answers++
		if !r.Called {
			fromInbox++
		}
	}
	return answers, fromInbox
}

// booked returns the amount booked for a saga in the bank's file.
func (b *bank) booked(id contract.SagaID) (cents int) {
	_ = b.db.View(func(tx *bbolt.Tx) error {
		if books := tx.Bucket(account); books != nil {
			_, _ = fmt.Sscan(string(books.Get([]byte(id))), &cents)
		}
		return nil
	})
	return cents
}

// deaf is a bus that confirms an answer but drops it while forget returns true.
type deaf struct {
	transport.Bus
	forget func() bool
}

// Publish implements transport.Bus.
func (d *deaf) Publish(ctx context.Context, batch []transport.Envelope) []error {
	if d.forget() {
		return nil
	}
	return d.Bus.Publish(ctx, batch)
}

// office returns a participant that completes every command.
func (s *stack) office() *participant.Participant[*participant.MemoryTx] {
	p := participant.New("office", &participant.MemoryInbox{})
	participant.Handle(p, confirm, func(context.Context, *participant.MemoryTx, transfer) (struct{}, error) {
		return struct{}{}, nil
	})
	return p
}
