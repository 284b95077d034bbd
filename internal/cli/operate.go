package cli

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// decisionFlags holds the flags of every operation, on one saga or on all that match a filter.
type decisionFlags struct {
	callFlags
	ID     string      `arg:"" optional:"" help:"The saga's id. Without it the operation applies to every saga that the --where flags match."`
	By     string      `required:"" env:"AMENDS_BY" help:"Your name, recorded in the saga's history."`
	Reason string      `required:"" help:"Why you do this, recorded in the saga's history."`
	Where  filterFlags `embed:"" prefix:"where-" group:"Many sagas"`
	DryRun bool        `group:"Many sagas" help:"Only count the matching sagas, and those for which the operation is legal."`
	Yes    bool        `group:"Many sagas" help:"Do not ask for confirmation."`
}

// operate sends a decision, and prints the saga's state after the decision.
func (f *decisionFlags) operate(env *environment, d *apiv1.Decision) error {
	d.By, d.Reason = f.By, f.Reason
	if f.ID == "" || !f.Where.empty() {
		return f.operateAll(env, d)
	}
	if f.DryRun {
		return &exitError{code: ExitUsage, err: errors.New("--dry-run works with --where flags only; see what is legal for this saga with: coordinator show " + f.ID)}
	}
	err := f.call(env, f.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: f.ID, Decision: d}))
		if err != nil {
			return err
		}
		s := r.Msg.GetSaga()
		return f.print(env.stdout, s, func(w *terminal.Stream) { printSaga(w, s) })
	})
	return unsure(err, "the decision may have been taken; check with: coordinator history "+f.ID)
}

// stepFlag names the step to which a decision applies.
type stepFlag struct {
	Step string `help:"The step; optional if the operation is legal for one step only."`
}

type cancelCmd struct{ decisionFlags }

// Help gives examples.
func (cancelCmd) Help() string {
	return `Undoes the completed steps in reverse order; coordinator show lists them. Refused past the
point of no return.

Examples:
  coordinator cancel order-42 --by ada --reason 'the customer called'
  coordinator cancel --where-definition checkout/3 --where-open --dry-run --by ada --reason 'bad prices'`
}

// Run cancels a saga.
func (c *cancelCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "cancel"})
}

type retryCmd struct {
	decisionFlags
	stepFlag
}

// Help gives examples.
func (retryCmd) Help() string {
	return `Sends the command at once with the same idempotency key, and gives the step its full number of
attempts again.

Examples:
  coordinator retry order-42 --by ada --reason 'the bank is back'
  coordinator retry order-42 --step charge-payment --by ada --reason 'the bank is back'
  coordinator retry --where-phase parked --where-step charge-payment --by ada --reason 'the bank is back'`
}

// Run retries a step now.
func (c *retryCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "retry", Step: c.Step})
}

type resolveCmd struct {
	decisionFlags
	stepFlag
	Outcome string `required:"" enum:"completed,rejected" help:"Actual outcome of the step: ${enum}."`
	Result  string `help:"Result of a completed step: JSON, a file, or - for stdin."`
}

// Help gives examples.
func (resolveCmd) Help() string {
	return `For a step whose outcome is unknown to the coordinator, after you have found out what happened.

Examples:
  coordinator resolve order-42 --step charge --outcome rejected --by ada --reason 'bank statement of today'
  coordinator resolve order-42 --step ship --outcome completed --result '{"tracking":"1Z9"}' --by ada --reason 'seen at the depot'`
}

// Run records the outcome that an operator has determined for a step.
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

// Run skips a step.
func (c *skipCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "skip", Step: c.Step})
}

type compensateCmd struct {
	decisionFlags
	Step string `help:"The parked pivot; optional."`
}

// Help gives examples.
func (compensateCmd) Help() string {
	return `Make sure that the pivot had no effect: it is not undone.

Examples:
  coordinator compensate order-42 --by ada --reason 'the bank has no such charge'`
}

// Run compensates a saga whose pivot is parked.
func (c *compensateCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "compensate", Step: c.Step})
}

type abandonCmd struct{ decisionFlags }

// Help gives examples.
func (abandonCmd) Help() string {
	return `Sends no further commands and undoes nothing: correct the services' data by hand.

Examples:
  coordinator abandon order-42 --by ada --reason 'corrected by hand, ticket 1234'`
}

// Run ends a parked saga in its current state.
func (c *abandonCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "abandon"})
}

type pauseCmd struct{ decisionFlags }

// Help gives examples.
func (pauseCmd) Help() string {
	return `Answers to commands in flight are still recorded, and other operations stay possible. Commands
that follow from them are sent after the saga is resumed.

Examples:
  coordinator pause order-42 --by ada --reason 'the bank is being moved'`
}

// Run pauses a saga.
func (c *pauseCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "pause"})
}

type resumeCmd struct{ decisionFlags }

// Help gives examples.
func (resumeCmd) Help() string {
	return `Examples:
  coordinator resume order-42 --by ada --reason 'the bank is back'`
}

// Run resumes a paused saga.
func (c *resumeCmd) Run(env *environment) error {
	return c.operate(env, &apiv1.Decision{Operation: "resume"})
}
