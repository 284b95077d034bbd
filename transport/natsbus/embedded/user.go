package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
)

// printed is the part of an error that says how operators get a users file.
const printed = "as coordinator nats-permissions prints it"

// admit reads a users file into the server's options. It adds two clients of this process, with
// passwords that nobody else learns: inside has all permissions in the account with the streams,
// responder has the permissions Config.Responder. Both are nil if there is no file.
func (config Config) admit(options *server.Options) (inside, responder *server.User, err error) {
	if config.UsersFile == "" {
		return nil, nil, nil
	}
	if config.User != "" {
		return nil, nil, errors.New("a user and a file of users are given; leave out one of the two")
	}
	file, home, err := readUsers(config.UsersFile, config.Account)
	if err != nil {
		return nil, nil, err
	}
	inside = &server.User{Username: "in-process-" + rand.Text(), Password: rand.Text(), Account: home}
	responder = &server.User{Username: "responder-" + rand.Text(), Password: rand.Text(), Account: home, Permissions: config.Responder}
	options.Accounts, options.Nkeys = file.Accounts, file.Nkeys
	options.Users = append(slices.Clip(file.Users), inside, responder)
	return inside, responder, nil
}

// CheckUsers reports what is wrong with a file for Config.UsersFile and Config.Account. It returns
// nil if the file is valid.
func CheckUsers(path, account string) error {
	_, _, err := readUsers(path, account)
	return err
}

// readUsers reads a users file. It also returns the account with the streams.
func readUsers(path, account string) (file *server.Options, home *server.Account, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, nil, fmt.Errorf("read the NATS users: %w", err)
	}
	blocks, err := conf.ParseFile(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	for name := range blocks {
		if name != "accounts" {
			return nil, nil, fmt.Errorf("read the NATS users: %s: %q is not supported here; the file may contain only accounts { … }, %s", path, name, printed)
		}
	}
	file, err = server.ProcessConfigFile(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	at := slices.IndexFunc(file.Accounts, func(a *server.Account) bool { return a.Name == account })
	if at < 0 || len(file.Users)+len(file.Nkeys) == 0 {
		return nil, nil, fmt.Errorf("read the NATS users: %s has no users, or no account %s for the coordinator; write accounts { … }, %s", path, account, printed)
	}
	return file, file.Accounts[at], nil
}

// lineOf matches the line number in NATS's error about a configuration.
var lineOf = regexp.MustCompile(`(?:line |:)(\d+)`)

// unreadable returns an error with the line at which a users file is invalid. It omits the error of
// NATS, which quotes the file and therefore passwords.
func unreadable(path string, err error) error {
	where := ""
	if line := lineOf.FindStringSubmatch(strings.ReplaceAll(err.Error(), path, "")); line != nil {
		where = " in line " + line[1]
	}
	return fmt.Errorf("read the NATS users: %s is not a valid NATS configuration%s; quote passwords and hashes that contain $; for details, run: nats-server -t -c %s", path, where, path)
}
