package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// In the coordinator's own account a participant can name any subject for the reply to an
// acknowledgement or a pull request, and the server publishes there with its own rights
// (docs/adr/0024-accounts.md). That cannot be prevented, so it is said.

// globalAccount is the account of users of whom no other is said.
const globalAccount = "$G"

// imported begins the reply subjects of what comes out of another account. No client can
// use it by itself.
const imported = "_R_."

// Metadata of a participant's consumer: in whose account the participant is.
const (
	metaAccount   = "amends-account"
	accountOwn    = "own"
	accountShared = "shared"
)

// InCoordinatorsAccount reports whether the metadata of a consumer of commands says that
// its participant is in the coordinator's account.
func InCoordinatorsAccount(metadata map[string]string) bool {
	return metadata[metaAccount] == accountShared
}

// AccountOf asks a server in which account a connection is.
func AccountOf(ctx context.Context, nc *nats.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	reply, err := nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if err != nil {
		return "", fmt.Errorf("ask the server for the account: %w", err)
	}
	var info struct {
		Data struct {
			Account string `json:"account"`
		} `json:"data"`
	}
	if err := json.Unmarshal(reply.Data, &info); err != nil {
		return "", fmt.Errorf("read the server's reply about the account: %w", err)
	}
	return info.Data.Account, nil
}

// SharedAccount is what is wrong when others are in the coordinator's account.
const SharedAccount = "a participant in the coordinator's account can purge and delete streams, by the reply subject of an acknowledgement, which the server does not check"

// SharedAccountFix is what to do about it.
const SharedAccountFix = "give each user an account of their own, as coordinator nats-permissions prints it"

// warnOfAccount says so when all users of the server are in one account.
func (b *Bus) warnOfAccount(ctx context.Context) {
	if b.config.Provision != Create || !b.nc.AuthRequired() {
		return
	}
	if account, err := AccountOf(ctx, b.nc); err == nil && account == globalAccount {
		b.config.Logger.Warn("all users of the NATS server are in one account: "+SharedAccount, "fix", SharedAccountFix)
	}
}

// noteAccount takes note of where a participant that asks for its consumer is.
func (b *Bus) noteAccount(m *nats.Msg) {
	participant, ok := strings.CutPrefix(m.Subject, b.subjects.Subscribe(""))
	if !ok {
		return
	}
	own := strings.HasPrefix(m.Reply, imported)
	b.provided.mu.Lock()
	if b.provided.accounts == nil {
		b.provided.accounts = map[string]string{}
	}
	known := b.provided.accounts[participant]
	if len(b.provided.accounts) < MaxConsumers || known != "" {
		b.provided.accounts[participant] = accountShared
		if own {
			b.provided.accounts[participant] = accountOwn
		}
	}
	b.provided.mu.Unlock()
	if !own && known != accountShared && b.nc.AuthRequired() {
		b.config.Logger.Warn(SharedAccount, "participant", cut(participant), "fix", SharedAccountFix)
	}
}
