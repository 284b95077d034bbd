package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/transport"
)

type definitionCmd struct {
	Lint  lintCmd  `cmd:"" help:"Check definition files; lists every problem."`
	Apply applyCmd `cmd:"" help:"Register definitions at a running coordinator."`
	List  defsCmd  `cmd:"" help:"List the registered definitions."`
}

type lintCmd struct {
	outputFlag
	Paths []string `arg:"" name:"file" help:"Files, or directories of files, of definitions in YAML or JSON."`
}

// linted is the result for one definition.
type linted struct {
	Definition  string `json:"definition"`
	Steps       int    `json:"steps"`
	Fingerprint string `json:"fingerprint"`
}

// Run checks definition files.
func (c *lintCmd) Run(env *environment) error {
	defs, err := loadDefinitions(c.Paths)
	found := make([]linted, len(defs))
	for i, d := range defs {
		found[i] = linted{d.Ref().String(), d.Len(), d.Fingerprint()}
	}
	if printed := c.print(env.stdout, found, func(w io.Writer) {
		for _, d := range found {
			_, _ = fmt.Fprintf(w, "ok  %s  %d steps  %.12s\n", d.Definition, d.Steps, d.Fingerprint)
		}
	}); printed != nil {
		return printed
	}
	return err
}

// loadDefinitions reads all files, and reports the problems of all.
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

// Run registers definitions. Nothing is registered unless all files are right.
func (c *applyCmd) Run(env *environment) error {
	defs, err := loadDefinitions(c.Paths)
	if err != nil {
		return err
	}
	done := []transport.DefinitionReply{}
	err = c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		for _, d := range defs {
			reply, err := cl.Register(ctx, d)
			if err != nil {
				return fmt.Errorf("register %s: %w", d.Ref(), err)
			}
			done = append(done, *reply)
		}
		return nil
	})
	if printed := c.print(env.stdout, done, func(w io.Writer) {
		for _, d := range done {
			_, _ = fmt.Fprintf(w, "registered  %s  %.12s\n", d.Definition, d.Fingerprint)
		}
	}); printed != nil {
		return printed
	}
	return err
}

type defsCmd struct{ callFlags }

// Run lists the registered definitions.
func (c *defsCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		defs, err := cl.Definitions(ctx)
		if err != nil {
			return err
		}
		return c.print(env.stdout, defs, func(w io.Writer) {
			rows := [][]string{{"DEFINITION", "VERSION", "FINGERPRINT"}}
			for _, d := range defs {
				rows = append(rows, []string{d.Definition.Name, fmt.Sprint(d.Definition.Version), fmt.Sprintf("%.12s", d.Fingerprint)})
			}
			table(w, rows)
		})
	})
}
