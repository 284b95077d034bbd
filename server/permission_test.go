package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

type order struct {
	Order string `json:"order"`
}

var (
	charge = contract.NewCommand[order, order]("payment", "charge")
	refill = contract.UndoOf(charge, "refund")
	send   = contract.NewCommand[order, struct{}]("shipping", "send")
)

// secrets returns the output of nats-permissions for the given users: the file, and each user's
// password.
func secrets(t *testing.T, users ...string) (file string, passwords map[string]string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), append([]string{"nats-permissions", "--new-passwords"}, users...), strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	file, passwords = filepath.Join(t.TempDir(), "users.conf"), map[string]string{}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(errs.String()) {
		name, password, _ := strings.Cut(strings.TrimSpace(line), " ")
		passwords[name] = password
	}
	return file, passwords
}

// notes is a log that several goroutines write to.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func (n *notes) violations() (found []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range strings.Lines(n.text.String()) {
		if strings.Contains(strings.ToLower(line), "violation") {
			found = append(found, line)
		}
	}
	return found
}

// harbour is a bus with users, each of which has only its own permissions.
type harbour struct {
	url       string
	tls       *tls.Config
	passwords map[string]string
	log       *notes
}

func (h *harbour) bus(t *testing.T, user string) *natsbus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, natsbus.Config{
		URL: h.url, User: user, Password: h.passwords[user], InboxPrefix: natsbus.InboxPrefix(user), TLS: h.tls,
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// run runs a participant until the test ends.
func run(t *testing.T, p *participant.Participant[*participant.MemoryTx], bus transport.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, bus) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// carry runs sagas that complete and sagas that compensate. Participants and caller have only their
// own permissions.
func (h *harbour) carry(t *testing.T) {
	t.Helper()
	quiet := participant.Logger(slog.New(slog.DiscardHandler))
	payment := participant.New("payment", &participant.MemoryInbox{}, quiet)
	participant.Handle(payment, charge, func(_ context.Context, _ *participant.MemoryTx, o order) (order, error) { return o, nil })
	participant.HandleUndo(payment, refill, func(context.Context, *participant.MemoryTx, contract.Undo[order, order]) error { return nil })
	shipping := participant.New("shipping", &participant.MemoryInbox{}, quiet)
	participant.Handle(shipping, send, func(_ context.Context, _ *participant.MemoryTx, o order) (struct{}, error) {
		if o.Order == "bad" {
			return struct{}{}, participant.Reject("no such address")
		}
		return struct{}{}, nil
	})
	run(t, payment, h.bus(t, "payment"))
	run(t, shipping, h.bus(t, "shipping"))
	shop := client.New(h.bus(t, "shop"))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for what, want := range map[string]contract.Phase{"good": contract.PhaseCompleted, "bad": contract.PhaseCompensated} {
		id := contract.SagaID("order-" + what)
		status, err := shop.Run(ctx, contract.DefinitionRef{Name: "checkout"}, order{what}, client.ID(id))
		if again, waitErr := shop.Wait(ctx, id); waitErr != nil || err == nil && again.Phase != status.Phase {
			t.Errorf("%s: asked again: %+v, %v", what, again, waitErr)
		}
		if err != nil || status.Phase != want {
			t.Fatalf("%s: %+v, %v", what, status, err)
		}
	}
	if found := h.log.violations(); len(found) > 0 {
		t.Errorf("the rights do not suffice: %s", strings.Join(found, ""))
	}
}

func checkout() *saga.Definition {
	return saga.MustDefine[order]("checkout", saga.Timeout(time.Minute),
		saga.Compensable("charge", saga.Do(charge), saga.Undo(refill)),
		saga.Pivot("send", saga.Do(send)))
}

// TestPermissionsSuffice checks that participants and callers can do their work on an embedded
// server with TLS and the users that nats-permissions prints. A participant can do nothing else.
func TestPermissionsSuffice(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "bus.example.com")
	users, passwords := secrets(t, "payment", "shipping", "caller:shop", "operator:ada", "listener:mail")
	d := start(t, server.Config{
		DataDir: filepath.Join(dir, "data"), Definitions: []*saga.Definition{checkout()},
		NATS: server.NATS{Listen: "127.0.0.1:0", Users: users, ListenCert: cert, ListenKey: key},
	})
	trust := trusting(t, cert, "bus.example.com")
	h := &harbour{url: d.NATS, passwords: passwords, log: &notes{}, tls: clientTLS(trust)}
	h.carry(t)
	h.lookAround(t)
	for name, options := range map[string][]nats.Option{
		"nobody":             {nats.Secure(h.tls)},
		"a wrong password":   {nats.Secure(h.tls), nats.UserInfo("payment", passwords["shipping"])},
		"an unknown name":    {nats.Secure(h.tls), nats.UserInfo("stranger", "x")},
		"without trusting":   {nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}), nats.UserInfo("payment", passwords["payment"])},
		"an old TLS version": {nats.Secure(&tls.Config{RootCAs: h.tls.RootCAs, ServerName: h.tls.ServerName, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), nats.UserInfo("payment", passwords["payment"])},
	} {
		if nc, err := natstest.Connect(d.NATS, options...); err == nil {
			nc.Close()
			t.Errorf("%s is let in", name)
		}
	}
	h.attack(t)
}

// connection opens a plain NATS connection as a user. Permission errors from the server are sent to
// violations.
func (h *harbour) connection(t *testing.T, user string) (nc *nats.Conn, violations chan error) {
	t.Helper()
	violations = make(chan error, 64)
	options := []nats.Option{
		nats.UserInfo(user, h.passwords[user]), nats.CustomInboxPrefix(natsbus.InboxPrefix(user)), nats.Timeout(time.Minute),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case violations <- err:
			default: // nobody is reading violations
			}
		}),
	}
	if h.tls != nil {
		options = append(options, nats.Secure(h.tls))
	}
	nc, err := natstest.Connect(h.url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, violations
}

// lookAround sends the requests that client libraries of other languages send before they pull.
func (h *harbour) lookAround(t *testing.T) {
	t.Helper()
	nc, _ := h.connection(t, "payment")
	js, err := jetstream.NewWithAPIPrefix(nc, natsbus.APIPrefix)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), "SAGA_COMMANDS", "payment")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.FetchNoWait(1); err != nil {
		t.Error(err)
	}
}

// attack tries, as payment, everything that only other users may do.
func (h *harbour) attack(t *testing.T) {
	t.Helper()
	nc, violations := h.connection(t, "payment")
	refused := func(what string, try func() error) {
		t.Helper()
		if err := try(); err != nil {
			return // the client has already reported it
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-violations:
			if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(limit):
			t.Errorf("%s is allowed", what)
		}
	}
	publish := func(subject, data string) func() error {
		return func() error { return nc.PublishRequest(subject, nc.NewInbox(), []byte(data)) }
	}
	listen := func(subject string) func() error {
		return func() error { _, err := nc.SubscribeSync(subject); return err }
	}
	refused("to answer for shipping", publish("saga.event.shipping.order-1.7.send.do.1", "{}"))
	refused("to command shipping", publish("saga.command.shipping.send", "{}"))
	refused("to command itself", publish("saga.command.payment.charge", "{}"))
	refused("to announce", publish("saga.lifecycle.checkout.completed", "{}"))
	refused("to fill the dead letters", publish("saga.dead.events", "{}"))
	refused("to ask the coordinator", publish("saga.api.operate", "{}"))
	refused("to subscribe for shipping", publish("saga.api.subscribe.shipping", `{"maxInFlight":1}`))
	refused("to listen to commands", listen("saga.command.>"))
	refused("to listen to its commands past the queue", listen("saga.command.payment.>"))
	refused("to listen to answers", listen("saga.event.>"))
	refused("to listen to requests", listen("saga.api.>"))
	refused("to listen to others' replies", listen("_INBOX.>"))
	refused("to listen to shipping's replies", listen("_INBOX_shipping.>"))
	refused("to listen to everything", listen(">"))
	const js = "$JS.API."
	refused("to take shipping's commands", publish(js+"CONSUMER.MSG.NEXT.SAGA_COMMANDS.shipping", "1"))
	refused("to acknowledge shipping's commands", publish("$JS.ACK.SAGA_COMMANDS.shipping.1.1.1.1.0", "+ACK"))
	refused("to take the coordinator's answers", publish(js+"CONSUMER.MSG.NEXT.SAGA_EVENTS.coordinator", "1"))
	refused("a consumer of its own commands", publish(js+"CONSUMER.CREATE.SAGA_COMMANDS.payment.saga.command.payment.>", "{}"))
	refused("a consumer of others' commands", publish(js+"CONSUMER.CREATE.SAGA_COMMANDS.payment.saga.command.shipping.>", "{}"))
	refused("a consumer without a filter", publish(js+"CONSUMER.CREATE.SAGA_COMMANDS.payment", "{}"))
	refused("a consumer the old way", publish(js+"CONSUMER.DURABLE.CREATE.SAGA_COMMANDS.payment", "{}"))
	refused("a consumer of answers", publish(js+"CONSUMER.CREATE.SAGA_EVENTS.payment.saga.event.>", "{}"))
	refused("to look at its consumer", publish(js+"CONSUMER.INFO.SAGA_COMMANDS.payment", ""))
	refused("to delete shipping's consumer", publish(js+"CONSUMER.DELETE.SAGA_COMMANDS.shipping", ""))
	refused("to read a stream", publish(js+"STREAM.MSG.GET.SAGA_COMMANDS", `{"seq":1}`))
	refused("to read a stream directly", publish(js+"DIRECT.GET.SAGA_COMMANDS", `{"seq":1}`))
	for _, operation := range []string{"DELETE", "PURGE", "UPDATE", "CREATE", "INFO"} {
		refused("to "+operation+" a stream", publish(js+"STREAM."+operation+".SAGA_COMMANDS", "{}"))
	}
	refused("a stream of its own", publish(js+"STREAM.CREATE.MINE", `{"name":"MINE","subjects":["saga.event.shipping.>"]}`))
}

// TestCoordinatorPermissions checks that a coordinator works on an external server with only its
// own permissions, both with accounts and with a single account.
func TestCoordinatorPermissions(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"accounts": nil, "one account": {"--single-account"}} {
		t.Run(name, func(t *testing.T) {
			h := external(t, false, append(flags, "coordinator:amends", "responder:amends-requests", "payment", "shipping", "caller:shop")...)
			h.carry(t)
			if warned := strings.Contains(h.log.all(), "purge and delete streams"); warned != (flags != nil) {
				t.Errorf("it warns of the account: %t\n%s", warned, h.log.all())
			}
		})
	}
}

// watcher is the name and the password of a user with all permissions in the coordinator's account.
const watcher = "watcher"

// external runs a coordinator on an external server with the users that nats-permissions prints,
// and the watcher. A lenient server accepts JetStream requests with unknown fields.
func external(t *testing.T, lenient bool, arguments ...string) *harbour {
	t.Helper()
	users, passwords := secrets(t, arguments...)
	options, err := natsserver.ProcessConfigFile(users)
	if err != nil {
		t.Fatal(err)
	}
	all := &natsserver.User{Username: watcher, Password: watcher}
	if at := slices.IndexFunc(options.Accounts, func(a *natsserver.Account) bool { return a.Name == natsbus.Account }); at >= 0 {
		all.Account = options.Accounts[at]
	}
	options.Users = append(options.Users, all)
	options.Host, options.Port, options.NoLog, options.NoSigs = "127.0.0.1", -1, true, true
	options.JetStream, options.StoreDir, options.NoJetStreamStrict = true, t.TempDir(), lenient
	s, err := natsserver.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(limit) {
		t.Fatal("the server is not ready")
	}
	h := &harbour{url: s.ClientURL(), passwords: passwords, log: &notes{}}
	c := server.Config{
		DataDir: t.TempDir(), Definitions: []*saga.Definition{checkout()},
		NATS: server.NATS{
			URL: h.url, Credentials: natsbus.Credentials{User: "amends", Password: passwords["amends"]}, InboxPrefix: natsbus.InboxPrefix("amends"),
			Responder: natsbus.Credentials{User: "amends-requests", Password: passwords["amends-requests"]},
		},
	}
	c.Logger = slog.New(slog.NewTextHandler(h.log, nil))
	start(t, c)
	return h
}

// TestResponderIsNeeded checks that a coordinator fails to start if its user may not subscribe to
// requests and no responder is configured.
func TestResponderIsNeeded(t *testing.T) {
	users, passwords := secrets(t, "coordinator:amends")
	s, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1, UsersFile: users, Account: natsbus.Account})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	_, err = server.Start(t.Context(), server.Config{
		DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		NATS: server.NATS{URL: s.ClientURL(), Credentials: natsbus.Credentials{User: "amends", Password: passwords["amends"]}, InboxPrefix: natsbus.InboxPrefix("amends")},
	})
	if err == nil || !strings.Contains(err.Error(), "role responder") {
		t.Errorf("%v; want an error that names the role responder", err)
	}
}

// TestForgedDeadLetter checks that a user who may write dead letters of commands cannot forge
// answers: replaying such a dead letter does not send an answer in another participant's name (I9).
func TestForgedDeadLetter(t *testing.T) {
	d := start(t, server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{checkout()}})
	nc, err := natstest.Connect(d.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	forged := nats.NewMsg("saga.dead.commands")
	for name, value := range map[string]string{"dead-stream": "events", "dead-subject": "saga.event.shipping.order-1.7.send.do.1", "original-ce-type": "dev.amends.completed.v1"} {
		forged.Header.Set(name, value)
	}
	if _, err := nc.RequestMsg(forged, limit); err != nil {
		t.Fatal(err)
	}
	bus, err := d.Connect(t.Context(), "operator")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	if err := bus.ReplayDeadLetter(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "its headers are wrong or forged") {
		t.Errorf("it is replayed: %v", err)
	}
}

// TestOpenBus checks that a bus that other machines can reach requires users and TLS, unless it is
// declared open.
func TestOpenBus(t *testing.T) {
	for name, tt := range map[string]struct {
		nats server.NATS
		want string // "" for a valid configuration
	}{
		"loopback":        {server.NATS{Listen: "127.0.0.1:4222"}, ""},
		"beyond":          {server.NATS{Listen: "0.0.0.0:4222"}, "nats-users: FILE"},
		"without TLS":     {server.NATS{Listen: "0.0.0.0:4222", Users: "u"}, "nats-listen-cert"},
		"closed":          {server.NATS{Listen: "0.0.0.0:4222", Users: "u", ListenCert: "c", ListenKey: "k"}, ""},
		"said":            {server.NATS{Listen: "0.0.0.0:4222", Open: true}, ""},
		"half":            {server.NATS{ListenCert: "c"}, "or neither"},
		"of nobody":       {server.NATS{URL: "nats://a:4222", Users: "u"}, "remove one of the two"},
		"external beyond": {server.NATS{URL: "nats://a:4222", Listen: "0.0.0.0:4222"}, ""},
	} {
		c := server.Config{DataDir: t.TempDir(), NATS: tt.nats}
		if err := c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct{ file, want string }{
		"other blocks": {`port: 4222, accounts { AMENDS { users = [ {user: a, password: b} ] } }`, `"port" is not supported here`},
		"one account":  {`authorization { users = [ {user: a, password: b} ] }`, `"authorization" is not supported here`},
		"nobody":       {`accounts { AMENDS { jetstream: enabled } }`, "has no users"},
		"no home":      {`accounts { A { users = [ {user: a, password: b} ] } }`, "no account AMENDS"},
		"no syntax":    {`accounts {`, "read the NATS users"},
	} {
		file := filepath.Join(t.TempDir(), "users.conf")
		if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := server.Start(t.Context(), server.Config{DataDir: t.TempDir(), NATS: server.NATS{Users: file}, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
