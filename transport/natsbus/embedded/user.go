package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
)

// printed is where the file of users comes from.
const printed = "as coordinator nats-permissions prints it"

// admit reads the users of a file into the server's options, and adds two for clients of
// this process, whose passwords nobody else learns: one with all rights in the account that
// has the streams, and one with those of Config.Responder. nil: there is no file.
func (config Config) admit(options *server.Options) (inside, responder *server.User, err error) {
	if config.UsersFile == "" {
		return nil, nil, nil
	}
	if config.User != "" {
		return nil, nil, errors.New("a user and a file of users are given; leave out one of the two")
	}
	blocks, err := conf.ParseFile(config.UsersFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the NATS users: %w", err)
	}
	for name := range blocks {
		if name != "accounts" {
			return nil, nil, fmt.Errorf("read the NATS users: %s: %q is not read here; write accounts { … }, %s", config.UsersFile, name, printed)
		}
	}
	file, err := server.ProcessConfigFile(config.UsersFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the NATS users: %w", err)
	}
	at := slices.IndexFunc(file.Accounts, func(a *server.Account) bool { return a.Name == config.Account })
	if at < 0 || len(file.Users)+len(file.Nkeys) == 0 {
		return nil, nil, fmt.Errorf("read the NATS users: %s has no users, or no account %s for the coordinator; write accounts { … }, %s", config.UsersFile, config.Account, printed)
	}
	home := file.Accounts[at]
	inside = &server.User{Username: "in-process-" + rand.Text(), Password: rand.Text(), Account: home}
	responder = &server.User{Username: "responder-" + rand.Text(), Password: rand.Text(), Account: home, Permissions: config.Responder}
	options.Accounts, options.Nkeys = file.Accounts, file.Nkeys
	options.Users = append(slices.Clip(file.Users), inside, responder)
	return inside, responder, nil
}
