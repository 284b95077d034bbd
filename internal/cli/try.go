package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga/definitionfile"
)

type tryCmd struct {
	File   string            `arg:"" type:"existingfile" help:"A file with one definition, in YAML or JSON."`
	Step   string            `arg:"" help:"The step whose request to show."`
	Input  string            `type:"existingfile" placeholder:"FILE" required:"" help:"File with the saga's input."`
	Result map[string]string `placeholder:"STEP=FILE" help:"File with the result of an earlier step; repeat for each step that the mapping uses."`
}

// Help gives examples.
func (tryCmd) Help() string {
	return `Evaluates the request of a step's do locally and prints it. If the mapping fails, the full error is printed, with the
values that caused it. Reasons of running sagas leave them out, because more people may see reasons than data.

Examples:
  coordinator definition try checkout.yaml charge-card --input order.json
  coordinator definition try checkout.yaml ship --input order.json --result reserve-stock=reserved.json`
}

// Run prints the request of a step.
func (c *tryCmd) Run(env *environment) error {
	defs, err := definitionfile.Load(c.File)
	if err != nil {
		return err
	}
	if len(defs) != 1 {
		return &exitError{code: ExitUsage, err: fmt.Errorf("%s holds %s; name a file with exactly one", c.File, plural.Of(len(defs), "definition", "definitions"))}
	}
	input, err := os.ReadFile(c.Input)
	results := map[contract.StepName][]byte{}
	for step, file := range c.Result {
		data, failed := os.ReadFile(file)
		results[contract.StepName(step)], err = data, errors.Join(err, failed)
	}
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	request, err := defs[0].Try(contract.StepName(c.Step), input, results)
	if err != nil {
		return err
	}
	env.stdout.Printf("%s\n", request)
	return nil
}
