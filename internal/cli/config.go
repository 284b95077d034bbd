package cli

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
)

type configCmd struct {
	Check checkCmd `cmd:"" help:"Show the configuration serve would run with and where each value comes from; exit 1 when it is wrong."`
}

type checkCmd struct {
	serveFlags
	outputFlag
}

// setting is one value of the configuration.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Run prints the effective configuration and everything that is wrong with it.
func (c *checkCmd) Run(env *environment) error {
	settings := []setting{}
	for _, flag := range env.parsed.Selected().Flags {
		if flag.Name == "output" || flag.Name == "help" {
			continue
		}
		settings = append(settings, setting{flag.Name, shown(flag), env.origin.of(flag.Name)})
	}
	if err := c.print(env.stdout, settings, func(w io.Writer) {
		rows := [][]string{{"NAME", "VALUE", "FROM"}}
		for _, s := range settings {
			rows = append(rows, []string{s.Name, s.Value, s.From})
		}
		table(w, rows)
	}); err != nil {
		return err
	}
	config := c.daemon()
	_, defs := c.definitions()
	_, traces := c.traces()
	if err := errors.Join(env.origin.problem(), c.problem(&config), defs, traces); err != nil {
		return &exitError{code: ExitFailed, err: fmt.Errorf("the configuration is wrong:\n%w", err)}
	}
	return nil
}

// shown is a flag's value as it may be shown to anybody.
func shown(flag *kong.Flag) string {
	value := fmt.Sprint(flag.Target.Interface())
	switch {
	case value == "":
		return ""
	case flag.Tag.Has("secret"):
		return "********"
	case flag.Name == "nats-url":
		return hidePasswords(value)
	}
	return oneLine(value, 200)
}

// hidePasswords hides what stands before the @ in a list of URLs, user names
// that are tokens included.
func hidePasswords(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil:
			list[i] = "********" // may hold anything
		case u.User != nil:
			u.User = url.User("********")
			list[i] = strings.ReplaceAll(u.String(), "%2A", "*")
		}
	}
	return strings.Join(list, ",")
}
