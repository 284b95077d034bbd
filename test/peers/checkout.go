package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	restate "github.com/restatedev/sdk-go"
)

// order and done are the input and the answers of coordinator bench, of about 200 and 100 bytes.
type order struct {
	OrderID  int64  `json:"order_id"`
	Customer string `json:"customer"`
	Lines    []line `json:"lines"`
	Note     string `json:"note"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"`
}

type done struct {
	OrderID int64  `json:"order_id"`
	Note    string `json:"note"`
}

func input(n int64) order {
	lines := []line{{"tea-earl-grey-100g", 2, 790}, {"cup-porcelain-white", 1, 1490}}
	return order{n, "customer-0042", lines, strings.Repeat("n", 40)}
}

var note = strings.Repeat("r", 60)

func answer(o order) done { return done{o.OrderID, note} }

// The mixes, as coordinator bench names them.
const (
	allWell      = "all-well"
	compensating = "compensating"
)

// rejected is the status with which the ingress answers when a saga was compensated.
const rejected = http.StatusConflict

// checkout is the saga as Restate's guide writes it: a handler calls the services one after the
// other, keeps a list of compensations, and runs them in reverse after a terminal error.
func checkout(ctx restate.Context, o order) (result done, err error) {
	var undo []func() error
	defer func() {
		if !restate.IsTerminalError(err) {
			return // nil, or an error after which Restate runs the handler again
		}
		for _, u := range slices.Backward(undo) {
			if failed := u(); failed != nil {
				err = errors.Join(err, failed)
			}
		}
	}()
	undoBy := func(service, handler string) {
		undo = append(undo, func() error {
			_, err := request[restate.Void](ctx, service, handler, o)
			return err
		})
	}
	undoBy("inventory", "release_inventory")
	if _, err := request[done](ctx, "inventory", "reserve_inventory", o); err != nil {
		return done{}, err
	}
	undoBy("payment", "refund_payment")
	if _, err := request[done](ctx, "payment", "charge_payment", o); err != nil {
		return done{}, err
	}
	if _, err := request[done](ctx, "shipping", "create_shipment", o); err != nil {
		return done{}, err
	}
	return request[done](ctx, "order", "confirm_order", o)
}

// request calls a handler durably and waits for its answer.
func request[O any](ctx restate.Context, service, handler string, o order) (answer O, err error) {
	answer, terminal := restate.Service[O](ctx, service, handler).Request(o)
	if terminal != nil {
		return answer, terminal
	}
	return answer, nil
}

// services returns the saga and the four services of a mix. Their handlers do nothing.
func services(mix string) []restate.ServiceDefinition {
	do := restate.NewServiceHandler(func(_ restate.Context, o order) (done, error) { return answer(o), nil })
	undo := restate.NewServiceHandler(func(restate.Context, order) (restate.Void, error) { return restate.Void{}, nil })
	ship := restate.NewServiceHandler(func(_ restate.Context, o order) (done, error) {
		if mix == compensating {
			return done{}, restate.ToTerminalError(fmt.Errorf("no carrier"), restate.WithErrorCode(rejected))
		}
		return answer(o), nil
	})
	return []restate.ServiceDefinition{
		restate.NewService("checkout").Handler("run", restate.NewServiceHandler(checkout)),
		restate.NewService("inventory").Handler("reserve_inventory", do).Handler("release_inventory", undo),
		restate.NewService("payment").Handler("charge_payment", do).Handler("refund_payment", undo),
		restate.NewService("shipping").Handler("create_shipment", ship),
		restate.NewService("order").Handler("confirm_order", do),
	}
}
