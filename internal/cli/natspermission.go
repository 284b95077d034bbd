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
	Users         []string `arg:"" name:"user" help:"Users: participants by name, others as role:name, such as caller:shop, operator:ada, listener:mail, coordinator:amends, responder:amends-requests."`
	NewPasswords  bool     `xor:"proof" help:"Generate passwords: bcrypt hashes go to stdout, the passwords to stderr."`
	NewNkeys      bool     `xor:"proof" help:"Generate nkeys: public keys go to stdout, the seeds to stderr."`
	SingleAccount bool     `help:"Put all users into one account, for servers without accounts. Less safe: a participant can then purge and delete streams, through the reply subject of its acknowledgements."`
	Prefix        string   `env:"AMENDS_PREFIX" default:"saga" help:"Prefix (first token) of every subject."`
}

// Help explains the output.
func (grantCmd) Help() string {
	return `Prints accounts: one for the coordinator and its streams, and one for each user that imports what
the user needs. Without --new-passwords and --new-nkeys the passwords are variables of the NATS
configuration that the server reads from its environment: $PAYMENT_PASSWORD for payment.

Examples:
  coordinator nats-permissions --new-passwords payment inventory caller:shop > users.conf
  coordinator nats-permissions --new-nkeys coordinator:amends responder:amends-requests payment > users.conf`
}

// Run prints the users as a block of NATS server configuration.
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
			err = fmt.Errorf("user %s is given twice; names must be unique, even across roles", name)
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

// proof returns a user's credentials as lines of NATS configuration. It prints the secret part to
// secrets.
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
