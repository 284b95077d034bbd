package natsbus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Role is the role of a user of the NATS server.
type Role string

// The roles.
const (
	RoleParticipant Role = "participant" // the service that answers for the participant with the user's name
	RoleCaller      Role = "caller"      // a program that starts and reads sagas
	RoleOperator    Role = "operator"    // a program that may send every request to the coordinator
	RoleListener    Role = "listener"    // a program that receives announcements while it is connected
	RoleCoordinator Role = "coordinator" // the coordinator
	RoleResponder   Role = "responder"   // the coordinator's second connection; see Config.Responder
)

// Roles lists all roles.
var Roles = []Role{RoleParticipant, RoleCaller, RoleOperator, RoleListener, RoleCoordinator, RoleResponder}

// Account is the name of the coordinator's account in the configuration that Accounts generates.
// This account contains the streams.
const Account = "AMENDS"

// APIPrefix replaces $JS.API in a participant's own account. Client libraries that look up a
// consumer before they pull from it need this prefix: $JS.API.CONSUMER.INFO is answered by the
// participant's own account, which has no JetStream.
const APIPrefix = "amends.js"

// Grant lists all subjects to which a user of the NATS server must be allowed to publish or
// subscribe. docs/SECURITY-GUIDE.md explains each.
type Grant struct {
	Publish, Subscribe []string
}

// InboxPrefix returns the Config.InboxPrefix for a user. It prevents other users from receiving the
// user's replies.
func InboxPrefix(user string) string { return "_INBOX_" + user }

// Grant returns a user's permissions. It uses only c.Prefix. The parameter others lists the users
// of the same account whose requests a responder answers.
func (c Config) Grant(role Role, user string, others ...string) (Grant, error) {
	if err := contract.CheckName("user", user); err != nil {
		return Grant{}, err
	}
	c = c.withDefaults()
	subjects := transport.Subjects{Prefix: c.Prefix}
	g := Grant{Subscribe: []string{InboxPrefix(user) + ".>"}}
	switch role {
	case RoleParticipant:
		commands := c.streamName(transport.StreamCommands)
		g.Publish = []string{
			strings.TrimSuffix(subjects.All(transport.StreamEvents), ">") + user + ".>",
			subjects.Subscribe(user),
			pulls + commands + "." + user,
			"$JS.ACK." + commands + "." + user + ".>",
		}
	case RoleCaller:
		for _, operation := range []string{api.MethodStart, api.MethodRun, api.MethodGet, api.MethodWait} {
			g.Publish = append(g.Publish, subjects.API(operation))
		}
	case RoleOperator:
		g.Publish = []string{subjects.API(">")}
	case RoleListener:
		g.Subscribe = append(g.Subscribe, subjects.All(transport.StreamLifecycle))
	case RoleCoordinator:
		g.Publish = c.coordinating(subjects)
	case RoleResponder:
		g.Publish, g.Subscribe = []string{"_INBOX.>", "_R_.>"}, []string{subjects.API(">")}
		for _, other := range others {
			g.Publish = append(g.Publish, InboxPrefix(other)+".>")
		}
	default:
		return Grant{}, fmt.Errorf("%q is not a bus role; use %s or %s", role, joinRoles(Roles[:len(Roles)-1]), Roles[len(Roles)-1])
	}
	return g, nil
}

// Prefixes of subjects of requests about a consumer.
const (
	pulls = "$JS.API.CONSUMER.MSG.NEXT."
	looks = "$JS.API.CONSUMER.INFO."
)

func joinRoles(roles []Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}

// coordinating returns the subjects to which a coordinator publishes on a server that is not
// embedded.
func (c Config) coordinating(subjects transport.Subjects) (publish []string) {
	publish = append(publish, "$SYS.REQ.USER.INFO")
	for _, s := range transport.Streams {
		publish = append(publish, subjects.All(s))
	}
	publish = append(publish, subjects.Owner(">"))
	names := []string{c.ownerStream()}
	for _, s := range transport.Streams {
		names = append(names, c.streamName(s))
	}
	for _, name := range names {
		for _, operation := range []string{"CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE"} {
			publish = append(publish, "$JS.API.STREAM."+operation+"."+name)
		}
		for _, operation := range []string{"CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT", "DIRECT.GET"} {
			publish = append(publish, "$JS.API."+operation+"."+name+".>")
		}
		publish = append(publish, "$JS.API.CONSUMER.LIST."+name, "$JS.API.CONSUMER.NAMES."+name, "$JS.API.DIRECT.GET."+name, "$JS.ACK."+name+".>")
	}
	return publish
}

// User is a user of the NATS server.
type User struct {
	Name string
	Role Role
	// Proof holds the configuration lines that authenticate the user: `user: payment` and
	// `password: "$2a$…"`, or only `nkey: U…`.
	Proof []string
}

// Accounts returns a block for a NATS server's configuration. The block has a common account for
// coordinators and responders, and one account for each other user. The server checks the subject
// of a publish but not its reply subject. In a separate account, a user's reply subject cannot
// reach more than the user may publish to anyway. See docs/adr/0024-accounts.md.
func (c Config) Accounts(users []User) (string, error) {
	subjects := transport.Subjects{Prefix: c.withDefaults().Prefix}
	services, streams := map[string][]string{}, map[string][]string{} // accounts, by exported subject
	var inside, others []string
	for _, u := range users {
		grant, err := c.Grant(u.Role, u.Name)
		if err != nil {
			return "", err
		}
		exported := slices.Clone(grant.Publish)
		renamed := map[string]string{} // subjects that are imported under another name
		if u.Role == RoleParticipant {
			consumer := c.withDefaults().streamName(transport.StreamCommands) + "." + u.Name
			exported = append(exported, looks+consumer)
			for _, subject := range []string{pulls + consumer, looks + consumer} {
				renamed[subject] = APIPrefix + strings.TrimPrefix(subject, "$JS.API")
				grant.Publish = append(grant.Publish, renamed[subject])
			}
		}
		entry := indented(grant.entry(u.Proof), 3)
		if u.Role == RoleCoordinator || u.Role == RoleResponder {
			inside = append(inside, entry)
			continue
		}
		var imports strings.Builder
		for _, subject := range exported {
			services[subject] = append(services[subject], u.Name)
			if !strings.HasPrefix(subject, looks) {
				fmt.Fprintf(&imports, "      { service: { account: %s, subject: %q } }\n", Account, subject)
			}
			if renamed[subject] != "" {
				fmt.Fprintf(&imports, "      { service: { account: %s, subject: %q }, to: %q }\n", Account, subject, renamed[subject])
			}
		}
		if u.Role == RoleListener {
			subject := subjects.All(transport.StreamLifecycle)
			streams[subject] = append(streams[subject], u.Name)
			fmt.Fprintf(&imports, "      { stream: { account: %s, subject: %q } }\n", Account, subject)
		}
		others = append(others, fmt.Sprintf("  %q: {\n    users: [\n%s\n    ]\n    imports: [\n%s    ]\n  }\n", u.Name, entry, &imports))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %s: {\n    jetstream: enabled\n", Account)
	if len(inside) > 0 {
		fmt.Fprintf(&b, "    users: [\n%s\n    ]\n", strings.Join(inside, "\n"))
	}
	b.WriteString("    exports: [\n")
	for _, subject := range slices.Sorted(maps.Keys(services)) {
		more := ""
		if strings.HasPrefix(subject, pulls) {
			more = "response_type: stream, " // one request has many replies
		}
		fmt.Fprintf(&b, "      { service: %q, %saccounts: [%s] }\n", subject, more, quoted(services[subject]))
	}
	for _, subject := range slices.Sorted(maps.Keys(streams)) {
		fmt.Fprintf(&b, "      { stream: %q, accounts: [%s] }\n", subject, quoted(streams[subject]))
	}
	b.WriteString("    ]\n  }\n" + strings.Join(others, "") + "}\n")
	return b.String(), nil
}

// Authorization returns a block for a NATS server's configuration with all users in one account. It
// is for servers on which users cannot have separate accounts. With one account, a participant or
// caller can purge and delete streams: messages to the reply subject of its request or
// acknowledgement are sent with the permissions of the server or the coordinator.
func (c Config) Authorization(users []User) (string, error) {
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
	}
	var entries []string
	for _, u := range users {
		grant, err := c.Grant(u.Role, u.Name, names...)
		if err != nil {
			return "", err
		}
		entries = append(entries, indented(grant.entry(u.Proof), 2))
	}
	return fmt.Sprintf("authorization {\n  users = [\n%s\n  ]\n}\n", strings.Join(entries, "\n")), nil
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(list, ", ")
}

func indented(text string, levels int) string {
	pad := strings.Repeat("  ", levels)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
}

// entry formats the grant as a user's entry in a NATS server's configuration.
func (g Grant) entry(proof []string) string {
	var b strings.Builder
	b.WriteString("{\n")
	for _, line := range proof {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("  permissions: {\n")
	list := func(what string, subjects []string) {
		if len(subjects) == 0 { // an empty list would allow every subject
			fmt.Fprintf(&b, "    %s: { deny: [\">\"] }\n", what)
			return
		}
		fmt.Fprintf(&b, "    %s: { allow: [\n", what)
		for _, s := range subjects {
			fmt.Fprintf(&b, "      %q\n", s)
		}
		b.WriteString("    ] }\n")
	}
	list("publish", g.Publish)
	list("subscribe", g.Subscribe)
	b.WriteString("  }\n}")
	return b.String()
}
