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
	By     string `required:"" env:"AMENDS_BY" help:"Who decides; kept with what is left of the saga."`
	Reason string `required:"" help:"Why; kept with what is left of the saga."`
}

// Help says what it does and what it does not.
func (removeDamagedCmd) Help() string {
	return `For a saga that cannot be moved because its record is damaged (docs/RUNBOOK.md, AmendsStoreDamaged). In
its place is a tombstone, with who removed it and why; coordinator show tells. Nothing more is sent and nothing
is undone: look first at what its steps have done at the participants, and put that right. Its id stays taken, so start
the business again under a new one. A saga that can be read is refused.

The store is read as a whole to find all that there is of the saga: with a large one give it more --timeout.

Examples:
  coordinator remove-damaged order-42 --by ada --reason 'settled by hand, ticket 1234'`
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
	return unsure(err, "it may have been removed; see whether it was, or is still being read, with: coordinator show "+c.ID)
}
