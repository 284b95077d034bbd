package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// A participant in the coordinator's account can set any subject as the reply subject of an
// acknowledgement or a pull request. The server publishes to that subject with the server's own
// permissions (docs/adr/0024-accounts.md). The bus cannot prevent that, so it logs a warning.

// globalAccount is the account of users that have no account of their own.
const globalAccount = "$G"

// imported is the prefix of the reply subjects of requests from another account. Clients cannot set
// a reply subject with this prefix.
const imported = "_R_."

// The metadata of a participant's consumer records whether the participant has its own account.
const (
	metaAccount   = "amends-account"
	accountOwn    = "own"
	accountShared = "shared"
)

// InCoordinatorsAccount reports whether the participant of a commands consumer shares the
// coordinator's account, according to the consumer's metadata.
func InCoordinatorsAccount(metadata map[string]string) bool {
	return metadata[metaAccount] == accountShared
}

// AccountOf asks the server for the account of a connection.
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

// SharedAccount describes the risk of other users in the coordinator's account.
const SharedAccount = "a participant in the coordinator's account can purge and delete streams, by the reply subject of an acknowledgement, which the server does not check"

// SharedAccountFix says how to remove the risk that SharedAccount describes.
const SharedAccountFix = "give each user an account of their own, as coordinator nats-permissions prints it"
