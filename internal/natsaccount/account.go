package natsaccount

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Global is the account of users that have no account of their own.
const Global = "$G"

// The metadata of a participant's consumer records whether the participant has its own account.
const (
	Key          = "amends-account"
	Own          = "own"    // a value of Key
	Coordinators = "shared" // a value of Key: the coordinator's account
)

// Texts for people.
const (
	// Risk describes the risk of other users in the coordinator's account.
	Risk = "a participant in the coordinator's account can purge and delete streams, because the server does not check the reply subject of an acknowledgement"
	// Fix says how to remove the risk.
	Fix = "give each user a separate account, with the configuration that coordinator nats-permissions prints"
)

// Shared reports whether the participant of a commands consumer shares the coordinator's account,
// according to the consumer's metadata.
func Shared(metadata map[string]string) bool { return metadata[Key] == Coordinators }

// Of asks the server for the account of a connection.
func Of(ctx context.Context, nc *nats.Conn) (string, error) {
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
