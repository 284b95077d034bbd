package natsbus

import (
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go"
)

// headerRequestInfo says in which account a request was made that came through an import.
const headerRequestInfo = "Nats-Request-Info"

// callerOf is who makes a request, as far as the server and the reply subject tell: the
// account that it was imported from, the user whose inbox it names (InboxPrefix), or else
// the connection. Whoever may publish under any reply subject can be as many as they like.
func callerOf(m *nats.Msg) string {
	if strings.HasPrefix(m.Reply, imported) { // the server's own, and so is the header beside it
		var info struct {
			Account string `json:"acc"`
		}
		// The server takes out a header of this name and puts its own behind all others. One that
		// begins after a bare line feed it does not see, and the client library does: the last counts.
		if values := m.Header[headerRequestInfo]; len(values) > 0 {
			_ = json.Unmarshal([]byte(values[len(values)-1]), &info) // "": all of them count together
		}
		return "account/" + info.Account
	}
	first, rest, _ := strings.Cut(m.Reply, ".")
	if first == "_INBOX" { // the client library's, with a name for the connection behind it
		connection, _, _ := strings.Cut(rest, ".")
		return m.Reply[:len(first)+1+len(connection)]
	}
	return first
}
