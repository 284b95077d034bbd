package cli

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// decisionFlags are what every decision of a person takes: about one saga, or about
// all that a filter matches.
type decisionFlags struct {
	callFlags
	ID     string      `arg:"" optional:"" help:"The saga's id. Without it the decision is about every saga that the --where flags match."`
	By     string      `required:"" env:"AMENDS_BY" help:"Who decides; becomes part of the saga's history."`
	Reason string      `required:"" help:"Why; becomes part of the saga's history."`
	Where  filterFlags `embed:"" prefix:"where-" group:"Many sagas"`
	DryRun bool        `group:"Many sagas" help:"Only count the sagas, and for how many the operation is legal."`
	Yes    bool        `group:"Many sagas" help:"Do not ask before many sagas are decided about."`
}

// operate sends a decision and prints where the saga stands after it.
func (f *decisionFlags) operate(env *environment, d *apiv1.Decision) error {
	d.By, d.Reason = f.By, f.Reason
	if f.ID == "" || !f.Where.empty() {
		return f.operateAll(env, d)
	}
	if f.DryRun {
		return &exitError{code: ExitUsage, err: errors.New("--dry-run is for many sagas; what is legal for one says: coordinator show " + f.ID)}
	}
	err := f.call(env, f.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: f.ID, Decision: d}))
		if err != nil {
			return err
		}
		s := r.Msg.GetSaga()
		return f.print(env.stdout, s, func(w *terminal.Stream) { printSaga(w, s) })
	})
	return unsure(err, "the decision may have been taken; see whether it was with: coordinator history "+f.ID)
}

// stepFlag names the step that a decision is about.
type stepFlag struct {
	Step string `help:"The step; may be left out when the operation is legal for one step only."`
}

type cancelCmd struct{ decisionFlags }

// Help gives examples.
func (cancelCmd) Help() string {
	return `What was done is undone, in reverse order; coordinator show says what that would be. Beyond
the point of no return it is refused.

Examples:
  coordinator cancel order-42 --by ada --reason 'the customer called'
  coordinator cancel --where-definition checkout/3 --where-open --dry-run --by ada --reason 'bad prices'`
}

// Run makes a saga go back.
func (c *cancelCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "cancel"})
}

type retryCmd struct {
	decisionFlags
	stepFlag
}

// Help gives examples.
func (retryCmd) Help() string {
	return `The command goes out at once with the same idempotency key, and the step gets a fresh number of
attempts.

Examples:
  coordinator retry order-42 --by ada --reason 'the bank is back'
  coordinator retry order-42 --step charge-payment --by ada --reason 'the bank is back'
  coordinator retry --where-phase parked --where-step charge-payment --by ada --reason 'the bank is back'`
}

// Run attempts a step again.
func (c *retryCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "retry", Step: c.Step})
}

type resolveCmd struct {
	decisionFlags
	stepFlag
	Outcome string `required:"" enum:"completed,rejected" help:"How it was resolved: ${enum}."`
	Result  string `help:"The result of a step that was completed: JSON, or a file, or - for stdin."`
}

// Help gives examples.
func (resolveCmd) Help() string {
	return `For a step whose outcome is unknown and whose truth you have found out.

Examples:
  coordinator resolve order-42 --step charge --outcome rejected --by ada --reason 'bank statement of today'
  coordinator resolve order-42 --step ship --outcome completed --result '{"tracking":"1Z9"}' --by ada --reason 'seen at the depot'`
}

// Run says how a step was resolved outside.
func (c *resolveCmd) Run(env *environment) error {
	d := &apiv1.Decision{Operation: "resolve", Step: c.Step, Outcome: c.Outcome}
	if c.Result != "" {
		data, err := readInput(c.Result, env.stdin)
		if err != nil {
			return &exitError{code: ExitUsage, err: err}
		}
		d.Result = string(data)
	}
	return c.operate(env, d)
}

type skipCmd struct {
	decisionFlags
	stepFlag
}

// Help gives examples.
func (skipCmd) Help() string {
	return `Examples:
  coordinator skip order-42 --step send-mail --by ada --reason 'the customer has no address'`
}

// Run goes on without a step.
func (c *skipCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "skip", Step: c.Step})
}

type compensateCmd struct {
	decisionFlags
	Step string `help:"The parked pivot; may be left out."`
}

// Help gives examples.
func (compensateCmd) Help() string {
	return `You vouch that the pivot did not happen: nobody will undo it.

Examples:
  coordinator compensate order-42 --by ada --reason 'the bank has no such charge'`
}

// Run goes back from a parked pivot.
func (c *compensateCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "compensate", Step: c.Step})
}

type abandonCmd struct{ decisionFlags }

// Help gives examples.
func (abandonCmd) Help() string {
	return `Nothing more is sent and nothing is undone: what the services hold is yours to put right.

Examples:
  coordinator abandon order-42 --by ada --reason 'settled by hand, ticket 1234'`
}

// Run ends a parked saga as it is.
func (c *abandonCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "abandon"})
}

type pauseCmd struct{ decisionFlags }

// Help gives examples.
func (pauseCmd) Help() string {
	return `What is under way is still answered, and every other decision may be taken; what follows from
it waits until the saga is resumed.

Examples:
  coordinator pause order-42 --by ada --reason 'the bank is being moved'`
}

// Run holds a saga.
func (c *pauseCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "pause"})
}

type resumeCmd struct{ decisionFlags }

// Help gives examples.
func (resumeCmd) Help() string {
	return `Examples:
  coordinator resume order-42 --by ada --reason 'the bank is there again'`
}

// Run lets a paused saga go on.
func (c *resumeCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "resume"})
}
