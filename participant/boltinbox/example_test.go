package boltinbox_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/transport"
)

// In a real service, these types are in a package that is shared with the saga's definition.
type (
	Deposit struct {
		Account string `json:"account"`
		Cents   uint64 `json:"cents"`
	}
	Balance struct {
		Cents uint64 `json:"cents"`
	}
)

var (
	DepositMoney  = contract.NewCommand[Deposit, Balance]("bank", "deposit-money")
	WithdrawMoney = contract.UndoOf(DepositMoney, "withdraw-money")
)

// newBank returns a participant that stores its accounts and answers in one file. A handler's
// writes in tx are committed together with its answer.
func newBank(db *bbolt.DB) *participant.Participant[*bbolt.Tx] {
	p := participant.New("bank", boltinbox.New(db))
	participant.Handle(p, DepositMoney, func(_ context.Context, tx *bbolt.Tx, d Deposit) (Balance, error) {
		cents := balance(tx, d.Account) + d.Cents
		return Balance{cents}, setBalance(tx, d.Account, cents)
	})
	participant.HandleUndo(p, WithdrawMoney, func(_ context.Context, tx *bbolt.Tx, u contract.Undo[Deposit, Balance]) error {
		return setBalance(tx, u.Request.Account, balance(tx, u.Request.Account)-u.Request.Cents)
	})
	return p
}

var accounts = []byte("accounts")

func balance(tx *bbolt.Tx, account string) uint64 {
	b := tx.Bucket(accounts)
	if b == nil || b.Get([]byte(account)) == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b.Get([]byte(account)))
}

func setBalance(tx *bbolt.Tx, account string, cents uint64) error {
	b, err := tx.CreateBucketIfNotExists(accounts)
	if err != nil {
		return err
	}
	return b.Put([]byte(account), binary.BigEndian.AppendUint64(nil, cents))
}

// Every command is delivered twice, and the bank restarts in between. The second delivery is
// answered from the file. This example creates the commands itself; in a program, p.Run(ctx, bus)
// receives them.
func Example() {
	dir, err := os.MkdirTemp("", "bank")
	check(err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bank.db")

	deliver(file, contract.DirectionDo, `{"account":"ada","cents":500}`)
	deliver(file, contract.DirectionDo, `{"account":"ada","cents":500}`)
	deliver(file, contract.DirectionUndo, `{"request":{"account":"ada","cents":500},"result":{"cents":500}}`)
	deliver(file, contract.DirectionUndo, `{"request":{"account":"ada","cents":500},"result":{"cents":500}}`)
	// Output:
	// transfer-1/hod85snpc0/deposit/do/1/completed and ada has 500
	// transfer-1/hod85snpc0/deposit/do/1/completed and ada has 500
	// transfer-1/hod85snpc0/deposit/undo/1/completed and ada has 0
	// transfer-1/hod85snpc0/deposit/undo/1/completed and ada has 0
}

// deliver opens the bank's file, answers one command, and closes the file.
func deliver(file string, direction contract.Direction, data string) {
	db, err := bbolt.Open(file, 0o600, nil)
	check(err)
	defer db.Close()

	action := DepositMoney.Action()
	if direction == contract.DirectionUndo {
		action = WithdrawMoney.Action()
	}
	started := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) // when a coordinator has started the saga
	key := contract.Key{Saga: "transfer-1", Birth: contract.BirthOf(started), Step: "deposit", Direction: direction}
	answer, err := newBank(db).Answer(context.Background(), &transport.Envelope{
		Subject: transport.Subjects{}.Command("bank", action), Type: transport.TypeCommand,
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: direction, Attempt: 1,
		ReplyTo: transport.Subjects{}.Event("bank", key, 1), Data: []byte(data),
	})
	check(err)
	check(db.View(func(tx *bbolt.Tx) error {
		fmt.Println(answer.ID, "and ada has", balance(tx, "ada"))
		return nil
	}))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
