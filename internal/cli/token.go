package cli

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/terminal"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Create a token. It is shown once, with the line to add to the file of serve --tokens."`
}

type tokenCreateCmd struct {
	Name    string        `required:"" help:"Name of the token's user, recorded in histories."`
	Role    string        `required:"" enum:"viewer,operator,admin" help:"Role of the token: ${enum}."`
	Expires time.Duration `placeholder:"DURATION" help:"Validity, such as 2160h. Default: until its line is removed."`
	outputFlag
}

// Run prints a new token and its line for the tokens file. It stores nothing.
func (c *tokenCreateCmd) Run(env *environment) error {
	role, err := access.ParseRole(c.Role)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	var expires time.Time
	switch {
	case c.Expires < 0:
		return &exitError{code: ExitUsage, err: fmt.Errorf("--expires: %s is negative; give a duration such as 2160h", c.Expires)}
	case c.Expires > 0:
		expires = time.Now().Add(c.Expires)
	}
	secret, line, err := access.NewToken(c.Name, role, expires)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	return c.print(env.stdout, map[string]string{"token": secret, "line": line}, func(w *terminal.Stream) {
		w.Printf("token, shown only now: %s\nline for the file of serve --tokens:\n%s\n", secret, line)
	})
}
