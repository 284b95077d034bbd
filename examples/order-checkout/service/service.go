package service

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/audit"
	"github.com/amends-dev/amends/examples/order-checkout/database"
	"github.com/amends-dev/amends/examples/order-checkout/fault"
	"github.com/amends-dev/amends/examples/order-checkout/inventory"
	"github.com/amends-dev/amends/examples/order-checkout/order"
	"github.com/amends-dev/amends/examples/order-checkout/payment"
	"github.com/amends-dev/amends/examples/order-checkout/shipping"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Names lists the four services.
var Names = []string{"order", "inventory", "payment", "shipping"}

// kind holds the differences between the services.
type kind struct {
	schema string
	make   func(participant.Inbox[*sql.Tx], ...participant.Option) *participant.Participant[*sql.Tx]
}

var kinds = map[string]kind{
	"order":     {order.Schema, order.New},
	"inventory": {inventory.Schema, inventory.New},
	"payment":   {payment.Schema, payment.New},
	"shipping":  {shipping.Schema, shipping.New},
}

// Config configures a service. All fields except Options, Die and Ready are required.
type Config struct {
	Name    string // one of Names
	DataDir string // directory of the database DataDir/Name/Name.db
	Connect func(ctx context.Context, name string) (*natsbus.Bus, error)
	Logger  *slog.Logger
	// Options are additional options of the participant, for example a tracer.
	Options []participant.Option
	// Say is called for each deliberate fault.
	Say func(saga contract.SagaID, what string)
	// Die ends the process when an order causes a crash. By default the service stops as if it had
	// crashed, and is restarted.
	Die func()
	// Ready is called each time the service is about to accept commands.
	Ready func(*natsbus.Bus)
}

// Run runs the service until ctx ends.
func Run(ctx context.Context, c Config) error {
	if c.Die == nil {
		c.Die = func() {}
	}
	if c.Ready == nil {
		c.Ready = func(*natsbus.Bus) {}
	}
	for {
		crashed, err := c.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !crashed:
			return fmt.Errorf("%s service: %w", c.Name, err)
		}
		c.Say("", "the "+c.Name+" service starts again")
	}
}

// once runs the service until ctx ends or it crashes.
func (c Config) once(ctx context.Context) (crashed bool, err error) {
	path := audit.Path(c.DataDir, c.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	db, err := database.Open(ctx, path, kinds[c.Name].schema)
	if err != nil {
		return false, err
	}
	defer db.Close() // every commit is durable
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(ctx); err != nil {
		return false, err
	}
	bus, err := c.Connect(ctx, c.Name)
	if err != nil {
		return false, err
	}
	defer bus.Close() // unacknowledged messages are redelivered
	options := append([]participant.Option{participant.Logger(c.Logger), participant.AckWait(ackWait)}, c.Options...)
	p := kinds[c.Name].make(inbox, options...)
	c.Ready(bus)
	switch c.Name {
	case "payment": // injects faults
		faulty := fault.New(bus, c.Say, c.Die)
		defer faulty.Close()
		err := p.Run(ctx, faulty)
		return faulty.Crashed(), err
	case "shipping": // shows a service with an existing Watermill router
		return false, route(ctx, p, bus, c.Logger)
	default:
		return false, p.Run(ctx, bus)
	}
}

// ackWait is how long the bus waits before it redelivers the commands of a crashed service. It is
// short for the demo; services should keep the default of 30 seconds.
const ackWait = 3 * time.Second
