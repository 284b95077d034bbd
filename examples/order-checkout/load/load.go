package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/definition"
)

// Viewer is notified of the progress of orders.
type Viewer interface {
	Placed(checkout.Order)
	Moved(checkout.Order, *api.Saga)
	Ended(checkout.Order, *api.Saga)
	Say(id contract.SagaID, what string)
}

// Config configures a load.
type Config struct {
	Client *client.Client
	Orders []checkout.Order
	Every  time.Duration // interval between two orders
	Placed io.Writer     // gets a JSON line for every accepted order
	Viewer Viewer
}

const (
	// look is the interval at which an open order is polled.
	look = 200 * time.Millisecond
	// most is the maximum number of orders that are followed at once.
	most = 512
	// orderTimeout limits how long one order may take, including attempts and restarts.
	orderTimeout = 10 * time.Minute
)

// Run registers the definition and places the orders. It returns when all of them have ended or ctx
// ends.
func Run(ctx context.Context, c Config) error {
	if err := c.register(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(most)
	tick := time.NewTicker(max(c.Every, time.Microsecond))
	defer tick.Stop()
	for _, o := range c.Orders {
		if err := c.place(ctx, o); err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error { return c.follow(ctx, o) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return g.Wait()
		}
	}
	return g.Wait()
}

// register waits for a coordinator and registers the definition. It is idempotent.
func (c Config) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := c.Client.Register(ctx, definition.Checkout)
		if !errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return err
		}
	}
}

// place starts the saga of an order, and retries until it is accepted. The order's id is the saga's
// id, so the order is placed only once.
func (c Config) place(ctx context.Context, o checkout.Order) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	if _, err := c.Client.Start(ctx, definition.Checkout, o, client.ID(contract.SagaID(o.OrderID))); err != nil {
		return fmt.Errorf("place order %s: %w", o.OrderID, err)
	}
	line, err := json.Marshal(o)
	if err == nil {
		_, err = c.Placed.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("record that order %s was placed: %w", o.OrderID, err)
	}
	c.Viewer.Placed(o)
	return nil
}

// follow polls an order until it has ended.
func (c Config) follow(ctx context.Context, o checkout.Order) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	var last *api.Saga
	for {
		status, err := c.Client.Get(ctx, contract.SagaID(o.OrderID))
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, client.ErrUnavailable):
			return fmt.Errorf("follow order %s: %w", o.OrderID, err)
		case err != nil: // no coordinator is answering
		case status.AtRest():
			c.Viewer.Ended(o, status)
			return nil
		case last == nil || last.Revision != status.Revision:
			c.Viewer.Moved(o, status)
			last = status
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not ended: %w", o.OrderID, ctx.Err())
		}
	}
}
