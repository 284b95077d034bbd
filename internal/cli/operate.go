package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// operateFlags are what every decision of a person takes.
type operateFlags struct {
	callFlags
	ID     string `arg:"" help:"The saga's id."`
	By     string `required:"" env:"AMENDS_BY" help:"Who decides; becomes part of the saga's history."`
	Reason string `required:"" help:"Why; becomes part of the saga's history."`
}

// operate sends a decision and prints where the saga stands after it.
func (f *operateFlags) operate(env *environment, op transport.Operation) error {
	op.By, op.Reason = f.By, f.Reason
	err := f.call(env, f.Timeout, func(ctx context.Context, cl *client.Client) error {
		status, err := cl.Operate(ctx, contract.SagaID(f.ID), op)
		if err != nil {
			return err
		}
		return f.print(env.stdout, status, func(w io.Writer) { printStatus(w, status) })
	})
	if errors.Is(err, client.ErrUnavailable) {
		return &exitError{code: ExitNotReachable, err: err, hint: "see whether it was carried out with: coordinator history " + f.ID}
	}
	return err
}

// stepFlag names the step that a decision is about.
type stepFlag struct {
	Step string `help:"The step; may be left out when the verb is legal for one step only."`
}

type cancelCmd struct{ operateFlags }

// Run makes a saga go back.
func (c *cancelCmd) Run(env *environment) error {
	return c.operate(env, transport.Operation{Verb: "cancel"})
}

type retryCmd struct {
	operateFlags
	stepFlag
}

// Run attempts a step again.
func (c *retryCmd) Run(env *environment) error {
	return c.operate(env, transport.Operation{Verb: "retry", Step: contract.StepName(c.Step)})
}

type resolveCmd struct {
	operateFlags
	stepFlag
	Outcome string `required:"" enum:"completed,rejected" help:"How it was settled: ${enum}."`
	Result  string `help:"The result of a step that was completed: JSON, or a file, or - for stdin."`
}

// Run says how a step was settled outside.
func (c *resolveCmd) Run(env *environment) error {
	op := transport.Operation{Verb: "resolve", Step: contract.StepName(c.Step), Outcome: contract.Outcome(c.Outcome)}
	if c.Result != "" {
		data, err := readInput(c.Result, env.stdin)
		if err != nil {
			return &exitError{code: ExitUsage, err: err}
		}
		op.Result = json.RawMessage(data)
	}
	return c.operate(env, op)
}

type skipCmd struct {
	operateFlags
	stepFlag
}

// Run goes on without a step.
func (c *skipCmd) Run(env *environment) error {
	return c.operate(env, transport.Operation{Verb: "skip", Step: contract.StepName(c.Step)})
}

type compensateCmd struct {
	operateFlags
	Step string `help:"The parked pivot; may be left out."`
}

// Run goes back from a parked pivot.
func (c *compensateCmd) Run(env *environment) error {
	return c.operate(env, transport.Operation{Verb: "compensate", Step: contract.StepName(c.Step)})
}

type abandonCmd struct{ operateFlags }

// Run ends a parked saga as it is.
func (c *abandonCmd) Run(env *environment) error {
	return c.operate(env, transport.Operation{Verb: "abandon"})
}
