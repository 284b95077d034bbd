package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"github.com/amends-dev/amends/internal/terminal"
	"github.com/amends-dev/amends/transport/natsbus"
)

type grantCmd struct {
	Users         []string `arg:"" name:"user" help:"Participants, and others as role:name: caller:shop, operator:ada, listener:mail, coordinator:amends, responder:amends-requests."`
	NewPasswords  bool     `xor:"proof" help:"Make passwords: their bcrypt hashes are printed, the passwords themselves to stderr."`
	NewNkeys      bool     `xor:"proof" help:"Make nkeys: the public ones are printed, the seeds to stderr."`
	SingleAccount bool     `help:"For a server where users cannot have accounts of their own. A participant can purge and delete streams there, by the reply subject of its acknowledgements."`
	Prefix        string   `env:"AMENDS_PREFIX" default:"saga" help:"First token of every subject."`
}

// Help explains the output.
func (grantCmd) Help() string {
	return `Prints accounts: one for the coordinator and its streams, and one for each user, which imports what
that user needs. Without --new-passwords and --new-nkeys the passwords are variables of the NATS
configuration, which the server takes from its environment: $PAYMENT_PASSWORD for payment.

Examples:
  coordinator nats-permissions --new-passwords payment inventory caller:shop > users.conf
  coordinator nats-permissions --new-nkeys coordinator:amends responder:amends-requests payment > users.conf`
}

// Run prints the users as a block of a NATS server's configuration.
func (c *grantCmd) Run(env *environment) error {
	config := natsbus.Config{Prefix: c.Prefix}
	if err := config.Validate(); err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	var users []natsbus.User
	seen := map[string]bool{}
	for _, word := range c.Users {
		role, name, found := strings.Cut(word, ":")
		if !found {
			role, name = string(natsbus.RoleParticipant), word
		}
		_, err := config.Grant(natsbus.Role(role), name)
		if err == nil && seen[name] {
			err = fmt.Errorf("user %s is named twice; a service and a program of the same name need users of their own", name)
		}
		if err != nil {
			return &exitError{code: ExitUsage, err: err}
		}
		seen[name] = true
		proof, err := c.proof(env.stderr, name)
		if err != nil {
			return err
		}
		users = append(users, natsbus.User{Name: name, Role: natsbus.Role(role), Proof: proof})
	}
	block := config.Accounts
	if c.SingleAccount {
		block = config.Authorization
	}
	text, err := block(users)
	if err != nil {
		return err
	}
	_, err = io.WriteString(env.stdout.Lines(), text)
	return err
}

// proof is how users prove who they are. What only they may know goes to secrets.
func (c *grantCmd) proof(secrets *terminal.Stream, name string) ([]string, error) {
	switch {
	case c.NewPasswords:
		password := rand.Text()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), 11)
		if err != nil {
			return nil, err
		}
		secrets.Printf("%s %s\n", name, password)
		return []string{"user: " + name, fmt.Sprintf("password: %q", hash)}, nil
	case c.NewNkeys:
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		public, errPublic := pair.PublicKey()
		seed, errSeed := pair.Seed()
		if err := errors.Join(errPublic, errSeed); err != nil {
			return nil, err
		}
		secrets.Printf("%s %s\n", name, seed)
		return []string{"# " + name, "nkey: " + public}, nil
	}
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_PASSWORD"
	return []string{"user: " + name, "password: $" + variable}, nil
}
