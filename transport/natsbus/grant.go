package natsbus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Grant is what a user of the NATS server needs to be allowed, and no more:
// subjects, in the server's own language. docs/SECURITY-GUIDE.md explains each.
type Grant struct {
	Publish, Subscribe []string
	// Answers is for how long the user may answer a request that reached him, on the
	// inbox that it names; 0: never.
	Answers time.Duration
}

// InboxPrefix is what Config.InboxPrefix of a user has to be, so that nobody else
// can listen to the replies he gets.
func InboxPrefix(user string) string { return "_INBOX_" + user }

func (c Config) granting() (transport.Subjects, func(transport.Stream) string) {
	c = c.withDefaults()
	return transport.Subjects{Prefix: c.Prefix}, c.streamName
}

// ParticipantGrant is that of the service that answers for a participant: its own
// answers, and its own consumer with its own filter. It connects with Provision
// Verify, or Trust if its consumer is made for it. Only Prefix of c counts.
func (c Config) ParticipantGrant(participant string) Grant {
	subjects, name := c.granting()
	commands := name(transport.Commands)
	g := Grant{
		Publish: []string{
			strings.TrimSuffix(subjects.All(transport.Events), ">") + participant + ".>",
			"$JS.API.CONSUMER.CREATE." + commands + "." + participant + "." + subjects.Commands(participant),
			"$JS.API.CONSUMER.INFO." + commands + "." + participant,
			"$JS.API.CONSUMER.MSG.NEXT." + commands + "." + participant,
			"$JS.ACK." + commands + "." + participant + ".>",
		},
		Subscribe: []string{InboxPrefix(participant) + ".>"},
	}
	for _, s := range transport.Streams {
		g.Publish = append(g.Publish, "$JS.API.STREAM.INFO."+name(s))
	}
	return g
}

// CallerGrant is that of a program that starts sagas and looks at them. It connects
// with Provision Trust. Only Prefix of c counts.
func (c Config) CallerGrant(user string) Grant {
	subjects, _ := c.granting()
	g := Grant{Subscribe: []string{InboxPrefix(user) + ".>"}}
	for _, verb := range []string{transport.APIStart, transport.APIRun, transport.APIGet, transport.APIWait} {
		g.Publish = append(g.Publish, subjects.API(verb))
	}
	return g
}

// OperatorGrant is that of a program that may ask the coordinator for everything.
// It connects with Provision Trust. Only Prefix of c counts.
func (c Config) OperatorGrant(user string) Grant {
	subjects, _ := c.granting()
	return Grant{Publish: []string{subjects.API(">")}, Subscribe: []string{InboxPrefix(user) + ".>"}}
}

// ListenerGrant is that of a program that follows what becomes of sagas, without a
// stream of its own: it misses what happens while it is away. Only Prefix of c counts.
func (c Config) ListenerGrant(user string) Grant {
	subjects, _ := c.granting()
	return Grant{Subscribe: []string{subjects.All(transport.Lifecycle), InboxPrefix(user) + ".>"}}
}

// CoordinatorGrant is that of the coordinator at a server that is not its own. Only
// Prefix of c counts.
func (c Config) CoordinatorGrant(user string) Grant {
	subjects, name := c.granting()
	g := Grant{Subscribe: []string{subjects.API(">"), InboxPrefix(user) + ".>"}, Answers: 5 * time.Minute}
	for _, s := range transport.Streams {
		g.Publish = append(g.Publish, subjects.All(s))
	}
	for _, s := range transport.Streams {
		for _, verb := range []string{"CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE"} {
			g.Publish = append(g.Publish, "$JS.API.STREAM."+verb+"."+name(s))
		}
		for _, verb := range []string{"CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT", "DIRECT.GET"} {
			g.Publish = append(g.Publish, "$JS.API."+verb+"."+name(s)+".>")
		}
		g.Publish = append(g.Publish, "$JS.API.CONSUMER.LIST."+name(s), "$JS.API.CONSUMER.NAMES."+name(s), "$JS.API.DIRECT.GET."+name(s), "$JS.ACK."+name(s)+".>")
	}
	return g
}

// User is the grant as an entry of the users of a NATS server's configuration.
// proof is the line that says how the user proves himself, such as
// `password: "$2a$…"`, beside his name, or `nkey: U…` alone.
func (g Grant) User(proof ...string) string {
	var b strings.Builder
	b.WriteString("{\n")
	for _, line := range proof {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("  permissions: {\n")
	list := func(what string, subjects []string) {
		if len(subjects) == 0 { // else the server takes it for: everything
			fmt.Fprintf(&b, "    %s: { deny: [\">\"] }\n", what)
			return
		}
		fmt.Fprintf(&b, "    %s: { allow: [\n", what)
		for _, s := range slices.Compact(slices.Clone(subjects)) {
			fmt.Fprintf(&b, "      %q\n", s)
		}
		b.WriteString("    ] }\n")
	}
	list("publish", g.Publish)
	list("subscribe", g.Subscribe)
	if g.Answers > 0 {
		fmt.Fprintf(&b, "    allow_responses: { max: 1, expires: %q }\n", fmt.Sprintf("%ds", int(g.Answers.Seconds())))
	}
	b.WriteString("  }\n}")
	return b.String()
}
