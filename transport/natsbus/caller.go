package natsbus

import (
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go"
)

// headerRequestInfo contains the account of a request that was imported from another account.
const headerRequestInfo = "Nats-Request-Info"

// callerOf returns who made a request, as far as it can be known: the account that it was imported
// from, the user named by its inbox (InboxPrefix), or else the connection. A client that may use
// any reply subject can pretend to be any number of callers.
func callerOf(m *nats.Msg) string {
	if strings.HasPrefix(m.Reply, imported) { // set by the server, and so is the header
		var info struct {
			Account string `json:"acc"`
		}
		// The server replaces a header of this name and adds its own at the end. It does not see
		// one that follows a bare line feed, but the client library does, so the last value is the
		// server's.
		if values := m.Header[headerRequestInfo]; len(values) > 0 {
			_ = json.Unmarshal([]byte(values[len(values)-1]), &info) // "": such callers are counted together
		}
		return "account/" + info.Account
	}
	first, rest, _ := strings.Cut(m.Reply, ".")
	if first == "_INBOX" { // the client library's default, followed by a name for the connection
		connection, _, _ := strings.Cut(rest, ".")
		return m.Reply[:len(first)+1+len(connection)]
	}
	return first
}
