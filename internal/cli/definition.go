package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
)

type definitionCmd struct {
	Lint  lintCmd    `cmd:"" help:"Check definition files; lists every problem."`
	Try   tryCmd     `cmd:"" help:"Show the request that a step would send, from data in files."`
	Apply applyCmd   `cmd:"" help:"Register definitions with a running coordinator."`
	List  defsCmd    `cmd:"" help:"List the registered definitions."`
	Show  defShowCmd `cmd:"" help:"Show a definition: its steps, timeouts and retries."`
	Graph graphCmd   `cmd:"" help:"Draw a definition, as Mermaid or SVG."`
	Diff  diffCmd    `cmd:"" help:"Show the differences between two definitions, step by step."`
}

// Help gives examples.
func (definitionCmd) Help() string {
	return `Examples:
  coordinator definition lint definitions/            # needs no coordinator
  coordinator definition try checkout.yaml charge-card --input order.json
  coordinator definition apply definitions/checkout.yaml
  coordinator definition show checkout
  coordinator definition graph checkout/2 --format svg > checkout.svg
  coordinator definition diff checkout checkout.yaml  # what an apply would change`
}

type lintCmd struct {
	outputFlag
	Paths []string `arg:"" name:"file" help:"Files, or directories of files, of definitions in YAML or JSON."`
}

// linted is the result for one definition.
type linted struct {
	Definition  string   `json:"definition"`
	Steps       int      `json:"steps"`
	Fingerprint string   `json:"fingerprint"`
	Notes       []string `json:"notes,omitempty"` // problems that do not prevent use of the definition
}

// Run checks definition files.
func (c *lintCmd) Run(env *environment) error {
	defs, err := loadDefinitions(c.Paths)
	found := make([]linted, len(defs))
	for i, d := range defs {
		found[i] = linted{Definition: d.Ref().String(), Steps: d.Len(), Fingerprint: d.Fingerprint()}
		for _, note := range d.Notes() {
			found[i].Notes = append(found[i].Notes, note.String())
		}
	}
	if printed := c.print(env.stdout, found, func(w *terminal.Stream) {
		for _, d := range found {
			w.Printf("ok  %s  %s  %s\n", d.Definition, plural.Of(d.Steps, "step", "steps"), d.Fingerprint)
			for _, note := range d.Notes {
				w.Printf("    note: %s\n", note)
			}
		}
	}); printed != nil {
		return printed
	}
	return err
}

// loadDefinitions reads all files, and returns the errors of all of them, joined.
func loadDefinitions(paths []string) ([]*saga.Definition, error) {
	var all []*saga.Definition
	var errs []error
	for _, path := range paths {
		defs, err := definitionfile.Load(path)
		all = append(all, defs...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

type applyCmd struct {
	callFlags
	Paths []string `arg:"" name:"file" help:"Files, or directories of files, of definitions in YAML or JSON."`
}

// Run registers definitions. If one file has an error, it registers none.
func (c *applyCmd) Run(env *environment) error {
	defs, err := loadDefinitions(c.Paths)
	if err != nil {
		return err
	}
	done := &apiv1.ListDefinitionsResponse{}
	err = c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		for _, d := range defs {
			source, err := json.Marshal(d)
			if err != nil {
				return err
			}
			r, err := api.RegisterDefinition(ctx, connect.NewRequest(&apiv1.RegisterDefinitionRequest{Source: string(source)}))
			if err != nil {
				return prefixed("register "+d.Ref().String(), err)
			}
			done.Definitions = append(done.Definitions, r.Msg.GetDefinition())
		}
		return nil
	})
	err = unsure(err, "some may have been registered; apply again, which is safe, or see: coordinator definition list")
	if printed := c.print(env.stdout, done, func(w *terminal.Stream) {
		for _, d := range done.GetDefinitions() {
			w.Printf("registered  %s  %s\n", refOf(d.GetRef()), d.GetFingerprint())
		}
	}); printed != nil {
		return printed
	}
	return err
}

type defsCmd struct{ callFlags }

// Run lists the registered definitions.
func (c *defsCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{}))
		if err != nil {
			return err
		}
		return c.print(env.stdout, r.Msg, func(w *terminal.Stream) {
			rows := [][]string{{"DEFINITION", "VERSION", "NEWEST", "FINGERPRINT"}}
			for _, d := range r.Msg.GetDefinitions() {
				newest := ""
				if d.GetNewest() {
					newest = "yes"
				}
				rows = append(rows, []string{d.GetRef().GetName(), fmt.Sprint(d.GetRef().GetVersion()), newest, d.GetFingerprint()})
			}
			w.Table(rows)
		})
	})
}
