package main

import (
	"fmt"
	"os"
	"time"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/script"
)

// ordersFlags select the orders to place.
type ordersFlags struct {
	Orders int           `default:"40" env:"ORDERS" help:"How many orders are placed."`
	Seed   uint64        `default:"1" env:"SEED" help:"Which orders: the same seed writes the same ones, and placing them again changes nothing."`
	File   string        `type:"path" placeholder:"FILE" help:"Place the orders of this file instead: one JSON object per line."`
	Every  time.Duration `default:"120ms" env:"EVERY" help:"Time between two orders."`
}

// maxOrders is the maximum number of orders in one load. The services' initial stock suffices for
// this number.
const maxOrders = 10_000

// read generates the orders, or reads them from a file.
func (f ordersFlags) read() ([]checkout.Order, error) {
	if f.File == "" {
		if f.Orders < 1 || f.Orders > maxOrders {
			return nil, usageError{fmt.Errorf("--orders is %d; 1 to %d are possible", f.Orders, maxOrders)}
		}
		return script.Generate(f.Seed, f.Orders), nil
	}
	file, err := os.Open(f.File)
	if err != nil {
		return nil, usageError{err}
	}
	defer file.Close() // read-only
	orders, err := script.Read(f.File, file)
	if err != nil {
		return nil, usageError{err}
	}
	return orders, nil
}
