package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
)

// admit reads the users of a file into the server's options, and adds one with all
// rights for clients of this process, whose password nobody else learns. nil: there
// is no file.
func (config Config) admit(options *server.Options) (*server.User, error) {
	if config.UsersFile == "" {
		return nil, nil //nolint:nilnil // no file, no user
	}
	if config.User != "" {
		return nil, errors.New("a user and a file of users are given; leave out one of the two")
	}
	blocks, err := conf.ParseFile(config.UsersFile)
	if err != nil {
		return nil, fmt.Errorf("read the NATS users: %w", err)
	}
	for name := range blocks {
		if name != "authorization" {
			return nil, fmt.Errorf("read the NATS users: %s: %q is not read here; write authorization { users = […] }, as coordinator nats-permissions prints it", config.UsersFile, name)
		}
	}
	file, err := server.ProcessConfigFile(config.UsersFile)
	if err != nil {
		return nil, fmt.Errorf("read the NATS users: %w", err)
	}
	if len(file.Users)+len(file.Nkeys) == 0 || file.Username != "" || file.Authorization != "" {
		return nil, fmt.Errorf("read the NATS users: %s names none; write authorization { users = […] }, as coordinator nats-permissions prints it", config.UsersFile)
	}
	inside := &server.User{Username: "in-process-" + rand.Text(), Password: rand.Text()}
	options.Users = append(options.Users, file.Users...)
	options.Users, options.Nkeys = append(options.Users, inside), file.Nkeys
	return inside, nil
}
