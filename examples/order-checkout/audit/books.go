package audit

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/database"
	"github.com/amends-dev/amends/examples/order-checkout/inventory"
	"github.com/amends-dev/amends/examples/order-checkout/order"
	"github.com/amends-dev/amends/examples/order-checkout/payment"
	"github.com/amends-dev/amends/examples/order-checkout/shipping"
)

// PlacedFile is the name of the file, in the directory load, that has one line for each accepted
// order.
const PlacedFile = "placed.jsonl"

// Books holds everything that the audit knows.
type Books struct {
	Placed     []checkout.Order
	Order      order.Books
	Inventory  inventory.Books
	Payment    payment.Books
	Shipping   shipping.Books
	Tombstones int // number of undos in all inboxes that arrived before their do
}

// Path returns the path of a service's database below the data directory.
func Path(dir, service string) string { return filepath.Join(dir, service, service+".db") }

// Read reads the databases below a data directory. It does not write to them.
func Read(ctx context.Context, dir string) (b Books, err error) {
	for _, service := range []struct {
		name string
		read func(*sql.DB) error
	}{
		{"order", func(db *sql.DB) (err error) { b.Order, err = order.Read(ctx, db); return err }},
		{"inventory", func(db *sql.DB) (err error) { b.Inventory, err = inventory.Read(ctx, db); return err }},
		{"payment", func(db *sql.DB) (err error) { b.Payment, err = payment.Read(ctx, db); return err }},
		{"shipping", func(db *sql.DB) (err error) { b.Shipping, err = shipping.Read(ctx, db); return err }},
	} {
		if err := b.open(ctx, Path(dir, service.name), service.read); err != nil {
			return b, fmt.Errorf("read the books of the %s service: %w", service.name, err)
		}
	}
	b.Placed, err = readPlaced(filepath.Join(dir, "load", PlacedFile))
	return b, err
}

func (b *Books) open(ctx context.Context, path string, read func(*sql.DB) error) error {
	db, err := database.OpenReadOnly(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close() // read-only
	var tombstones int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM amends_inbox WHERE do_outcome = 'tombstone'`).Scan(&tombstones); err != nil {
		return err
	}
	b.Tombstones += tombstones
	return read(db)
}

// readPlaced reads the accepted orders. The last line may be incomplete if the writer was killed.
func readPlaced(path string) (placed []checkout.Order, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var o checkout.Order
		if json.Unmarshal(lines.Bytes(), &o) == nil {
			placed = append(placed, o)
		}
	}
	return placed, lines.Err()
}
