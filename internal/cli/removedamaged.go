package cli

import (
	"context"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type removeDamagedCmd struct {
	callFlags
	ID     string `arg:"" help:"The saga's id."`
	By     string `required:"" env:"AMENDS_BY" help:"Your name, recorded in the tombstone."`
	Reason string `required:"" help:"Why you do this, recorded in the tombstone."`
}

// Help explains the consequences.
func (removeDamagedCmd) Help() string {
	return `For a saga that is stuck because its record is damaged (docs/RUNBOOK.md, AmendsStoreDamaged). The record
is replaced by a tombstone that says who removed it and why. No further commands are sent and nothing
is undone: check first what its steps did at the participants, and correct it by hand. The id stays in use: start
the saga again under a new id. Refused for a saga whose record can be read.

Reads the entire store to find all records of the saga: allow more --timeout for a large store.

Examples:
  coordinator remove-damaged order-42 --by ada --reason 'corrected by hand, ticket 1234'`
}

// Run removes a damaged saga.
func (c *removeDamagedCmd) Run(env *environment) error {
	err := c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.RemoveDamaged(ctx, connect.NewRequest(&apiv1.RemoveDamagedRequest{Id: c.ID, By: c.By, Reason: c.Reason}))
		if err != nil {
			return err
		}
		s := r.Msg.GetSaga()
		return c.print(env.stdout, s, func(w *terminal.Stream) { printSaga(w, s) })
	})
	return unsure(err, "the saga may have been removed; check with: coordinator show "+c.ID)
}
