package sqlinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/transport"
)

// In a real service, these types are in a package that is shared with the saga's definition.
type (
	Reserve struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	Reserved struct {
		Left int `json:"left"`
	}
)

var (
	ReserveStock = contract.NewCommand[Reserve, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
)

func reserve(ctx context.Context, tx *sql.Tx, r Reserve) (Reserved, error) {
	var left int
	err := tx.QueryRowContext(ctx, "UPDATE stock SET quantity = quantity - ? WHERE sku = ? RETURNING quantity", r.Quantity, r.SKU).Scan(&left)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Reserved{}, participant.Fatal(fmt.Errorf("no such article: %s", r.SKU)) // another attempt cannot help
	case err != nil:
		return Reserved{}, err // a failure, which may be retried
	case left < 0:
		return Reserved{}, participant.Rejectf("out of stock: %s", r.SKU) // the update is rolled back
	}
	return Reserved{Left: left}, nil
}

func release(ctx context.Context, tx *sql.Tx, u contract.Undo[Reserve, Reserved]) error {
	_, err := tx.ExecContext(ctx, "UPDATE stock SET quantity = quantity + ? WHERE sku = ?", u.Request.Quantity, u.Request.SKU)
	return err
}

// A service reserves stock. This example creates its commands itself; in a program, p.Run(ctx, bus)
// receives them.
func Example() {
	dir, err := os.MkdirTemp("", "inventory")
	check(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "inventory.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	check(err)
	defer db.Close()
	_, err = db.Exec("CREATE TABLE stock (sku TEXT PRIMARY KEY, quantity INTEGER); INSERT INTO stock VALUES ('chair', 5)")
	check(err)

	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	check(inbox.Migrate(context.Background()))
	p := participant.New("inventory", inbox)
	participant.Handle(p, ReserveStock, reserve)
	participant.HandleUndo(p, ReleaseStock, release)

	started := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) // when a coordinator has started the sagas
	say := func(saga contract.SagaID, direction contract.Direction, action, data string) {
		key := contract.Key{Saga: saga, Birth: contract.BirthOf(started), Step: "reserve", Direction: direction}
		answer, err := p.Answer(context.Background(), &transport.Envelope{
			Subject: transport.Subjects{}.Command("inventory", action), Type: transport.TypeCommand,
			Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: direction, Attempt: 1,
			ReplyTo: transport.Subjects{}.Event("inventory", key, 1), Data: []byte(data),
		})
		check(err)
		fmt.Println(strings.TrimSpace(answer.ID + " " + string(answer.Data) + answer.Reason))
	}
	say("order-1", contract.DirectionDo, "reserve-stock", `{"sku":"chair","quantity":4}`)
	say("order-1", contract.DirectionDo, "reserve-stock", `{"sku":"chair","quantity":4}`) // redelivered
	say("order-2", contract.DirectionDo, "reserve-stock", `{"sku":"chair","quantity":4}`)
	say("order-1", contract.DirectionUndo, "release-stock", `{"request":{"sku":"chair","quantity":4},"result":{"left":1}}`)
	say("order-3", contract.DirectionUndo, "release-stock", `{"request":{"sku":"chair","quantity":4},"result":null}`) // before its do
	say("order-3", contract.DirectionDo, "reserve-stock", `{"sku":"chair","quantity":4}`)
	var quantity int
	check(db.QueryRow("SELECT quantity FROM stock").Scan(&quantity))
	fmt.Println("in stock:", quantity)
	// Output:
	// order-1/hod85snpc0/reserve/do/1/completed {"left":1}
	// order-1/hod85snpc0/reserve/do/1/completed {"left":1}
	// order-2/hod85snpc0/reserve/do/1/rejected out of stock: chair
	// order-1/hod85snpc0/reserve/undo/1/completed
	// order-3/hod85snpc0/reserve/undo/1/completed
	// order-3/hod85snpc0/reserve/do/1/rejected the undo of this step came before its do
	// in stock: 5
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
