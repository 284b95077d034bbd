package cli

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/setting"
	"github.com/amends-dev/amends/internal/terminal"
)

type configCmd struct {
	Check checkCmd `cmd:"" help:"Show the configuration that serve would use, and where each value comes from. Exit code 1: it is not valid."`
}

type checkCmd struct {
	serveFlags
	outputFlag
}

// configured holds one configuration value and its source.
type configured struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Run prints the effective configuration, and every problem in it.
func (c *checkCmd) Run(env *environment) error {
	settings := []configured{}
	for _, flag := range env.parsed.Selected().Flags {
		if flag.Name == "output" || flag.Name == "help" {
			continue
		}
		settings = append(settings, configured{flag.Name, setting.Shown(flag), env.source.Of(flag.Name)})
	}
	if err := c.print(env.stdout, settings, func(w *terminal.Stream) {
		rows := [][]string{{"NAME", "VALUE", "FROM"}}
		for _, s := range settings {
			rows = append(rows, []string{s.Name, s.Value, s.From})
		}
		w.Table(rows)
	}); err != nil {
		return err
	}
	config := c.config()
	_, defs := c.definitions()
	_, traces := c.traces()
	if err := errors.Join(env.source.Problem(), c.problem(&config), defs, traces); err != nil {
		return &exitError{code: ExitFailed, err: fmt.Errorf("the configuration is not valid:\n%w", err)}
	}
	return nil
}
