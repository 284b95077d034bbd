package javascript

import (
	"bufio"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/internal/strictjson"
	"github.com/amends-dev/amends/internal/wiretest"
	"github.com/amends-dev/amends/transport/natsbus"
)

const (
	waitLimit = 2 * time.Minute
	password  = "not-a-secret"
)

// TestParticipant acts as the coordinator for the participant in JavaScript, and checks I5 and I9
// without the SDK.
func TestParticipant(t *testing.T) {
	requireNode(t)
	c := newCoordinator(t)
	startParticipant(t, c.url)

	do, undo := example(t, "command"), example(t, "undo-command")
	t.Run("completes", func(t *testing.T) {
		answer := c.ask(t, do)
		c.want(t, answer, "completed", `{"receipt":"r-1"}`)
		if got, want := answer.Headers().Get("traceparent"), do.Header.Get("traceparent"); got != want {
			t.Errorf("traceparent %q, want the command's %q", got, want)
		}
	})
	t.Run("answers the same to the next attempt", func(t *testing.T) {
		c.want(t, c.ask(t, attempt(do, "order-42", "2")), "completed", `{"receipt":"r-1"}`)
	})
	t.Run("rejects", func(t *testing.T) {
		dear := attempt(do, "order-43", "1")
		dear.Data = []byte(`{"order_id":"order-43","amount_cents":4200000}`)
		answer := c.ask(t, dear)
		c.want(t, answer, "rejected", "")
		reason := answer.Headers().Get("ce-reason")
		plain, err := url.PathUnescape(reason)
		if err != nil || plain != "card declined: 4200000 is above the limit, 10000" || strings.Contains(reason, " ") {
			t.Errorf("reason %q (%v)", reason, err)
		}
	})
	t.Run("undoes", func(t *testing.T) {
		c.want(t, c.ask(t, undo), "completed", `{"refunded":"r-17"}`)
		c.want(t, c.ask(t, attempt(do, "order-42", "3")), "rejected", "")
	})
	t.Run("undoes what it did though the coordinator does not know the result", func(t *testing.T) {
		c.want(t, c.ask(t, attempt(do, "order-44", "1")), "completed", `{"receipt":"r-2"}`)
		unknown := attempt(undo, "order-44", "1")
		unknown.Data = []byte(`{"request":{},"result":null}`)
		c.want(t, c.ask(t, unknown), "completed", `{"refunded":"r-2"}`)
	})
	t.Run("refuses a do that its undo has overtaken", func(t *testing.T) {
		early := attempt(undo, "order-45", "1")
		early.Data = []byte(`{"request":{},"result":null}`)
		c.want(t, c.ask(t, early), "completed", "")
		c.want(t, c.ask(t, attempt(do, "order-45", "1")), "rejected", "")
	})
	t.Run("does it for a later saga with the same id", func(t *testing.T) {
		again := reborn(attempt(do, "order-42", "1"), "hod85snpc1")
		c.want(t, c.ask(t, again), "completed", `{"receipt":"r-3"}`)
		c.want(t, c.ask(t, reborn(attempt(do, "order-45", "1"), "hod85snpc1")), "completed", `{"receipt":"r-4"}`)
		c.want(t, c.ask(t, again), "completed", `{"receipt":"r-3"}`)
		c.want(t, c.ask(t, attempt(do, "order-42", "4")), "rejected", "")
	})
	t.Run("fails for good on data that is not JSON", func(t *testing.T) {
		broken := attempt(do, "order-46", "1")
		broken.Data = []byte(`{"order_id":`)
		answer := c.ask(t, broken)
		c.want(t, answer, "failed", "")
		if answer.Headers().Get("ce-final") != "true" {
			t.Errorf("headers %v, want ce-final: true", answer.Headers())
		}
	})
	t.Run("drops what nobody wants answered", func(t *testing.T) {
		for _, name := range []string{"ce-replyto", "ce-sagaid", "ce-birth", "ce-step"} {
			nobody := attempt(do, "order-47", "1")
			nobody.Header.Del(name)
			c.publish(t, nobody)
			c.drained(t)
		}
	})
}

// requireNode skips the test if Node or the participant's modules are missing.
func requireNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed; install Node 20 or later")
	}
	if _, err := os.ReadFile("participant.mjs"); err != nil { // also tells the test cache about the dependency
		t.Fatal(err)
	}
	if _, err := os.Stat("node_modules/@nats-io/jetstream"); err != nil {
		t.Skip("the participant's modules are not installed; run: npm ci --prefix test/javascript")
	}
}

// example returns a message of proto/testdata.
func example(t *testing.T, name string) *nats.Msg {
	t.Helper()
	m, err := wiretest.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	header, err := nats.DecodeHeadersMsg([]byte(m.Header))
	if err != nil {
		t.Fatal(err)
	}
	header.Del("Nats-Msg-Id") // the test repeats messages on purpose
	return &nats.Msg{Subject: m.Subject, Header: header, Data: []byte(m.Data)}
}

// attempt returns a copy of a command for a different saga and attempt.
func attempt(m *nats.Msg, saga, number string) *nats.Msg {
	copied := &nats.Msg{Subject: m.Subject, Header: nats.Header{}, Data: m.Data}
	direction := m.Header.Get("ce-direction")
	for name := range m.Header {
		copied.Header.Set(name, m.Header.Get(name))
	}
	copied.Header.Set("ce-sagaid", saga)
	copied.Header.Set("ce-attempt", number)
	copied.Header.Set("ce-id", saga+"/"+born+"/charge-card/"+direction+"/"+number)
	copied.Header.Set("ce-replyto", "saga.event.payment."+saga+"."+born+".charge-card."+direction+"."+number)
	return copied
}

// born is the birth (start token) of the sagas in the examples.
const born = "hod85snpc0"

// reborn returns a command for a later saga with the same id.
func reborn(m *nats.Msg, birth string) *nats.Msg {
	m.Header.Set("ce-birth", birth)
	for _, name := range []string{"ce-id", "ce-replyto"} {
		m.Header.Set(name, strings.Replace(m.Header.Get(name), born, birth, 1))
	}
	return m
}

// TestPermissions checks that docs/WIRE.md shows the accounts that this test uses.
func TestPermissions(t *testing.T) {
	page, err := os.ReadFile("../../docs/WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	if accounts := accounts(t); !strings.Contains(string(page), "```\n"+accounts+"```\n") {
		t.Errorf("docs/WIRE.md does not show\n%s", accounts)
	}
}

// accounts returns the accounts that "coordinator nats-permissions payment" prints.
func accounts(t *testing.T) string {
	t.Helper()
	text, err := natsbus.Config{}.Accounts([]natsbus.User{{Name: "payment", Role: natsbus.RoleParticipant, Proof: []string{"user: payment", "password: $PAYMENT_PASSWORD"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// coordinator holds a server with the streams of docs/WIRE.md, and a client with all permissions.
type coordinator struct {
	url      string
	js       jetstream.JetStream
	commands jetstream.Stream
	answers  jetstream.Consumer
}

func newCoordinator(t *testing.T) *coordinator {
	t.Helper()
	url := newServer(t)
	nc, err := natstest.Connect(url, nats.UserInfo("coordinator", password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{url: url, js: js}
	c.commands = c.stream(t, "SAGA_COMMANDS", "saga.command.>")
	if _, err := nc.Subscribe("saga.api.subscribe.payment", func(m *nats.Msg) { c.subscribe(t, m) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	c.answers, err = c.stream(t, "SAGA_EVENTS", "saga.event.>").CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// subscribe answers a participant that requests its consumer.
func (c *coordinator) subscribe(t *testing.T, m *nats.Msg) {
	var asked api.SubscribeRequest
	if err := strictjson.Decode(m.Data, &asked); err != nil {
		t.Errorf("asked with %s: %v", m.Data, err)
	}
	_, err := c.commands.CreateOrUpdateConsumer(context.Background(), jetstream.ConsumerConfig{
		Durable: "payment", FilterSubject: "saga.command.payment.>", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
		AckWait: asked.AckWait.Or(0), MaxAckPending: asked.MaxInFlight,
	})
	if err != nil {
		t.Error(err)
	}
	_ = m.Respond([]byte(`{"stream":"SAGA_COMMANDS","consumer":"payment"}`))
}

// newServer starts a server with a user for the coordinator and an account for the participant.
func newServer(t *testing.T) (url string) {
	t.Helper()
	t.Setenv("PAYMENT_PASSWORD", password)
	file := filepath.Join(t.TempDir(), "accounts.conf")
	if err := os.WriteFile(file, []byte(accounts(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Port, o.JetStream, o.StoreDir, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, t.TempDir(), true, true
	for _, account := range o.Accounts {
		if account.Name == natsbus.Account {
			o.Users = append(o.Users, &server.User{Username: "coordinator", Password: password, Account: account})
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(waitLimit) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

func (c *coordinator) stream(t *testing.T, name, subjects string) jetstream.Stream {
	t.Helper()
	stream, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{subjects}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// publish sends a command.
func (c *coordinator) publish(t *testing.T, command *nats.Msg) {
	t.Helper()
	if _, err := c.js.PublishMsg(t.Context(), command); err != nil {
		t.Fatalf("publish %s: %v", command.Subject, err)
	}
}

// ask sends a command and waits for its answer, which must come on the subject that the command
// names.
func (c *coordinator) ask(t *testing.T, command *nats.Msg) jetstream.Msg {
	t.Helper()
	c.publish(t, command)
	answer, err := c.answers.Next(jetstream.FetchMaxWait(waitLimit))
	if err != nil {
		t.Fatalf("no answer to %s: %v", command.Header.Get("ce-id"), err)
	}
	if err := answer.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := command.Header.Get("ce-replyto"); answer.Subject() != want {
		t.Fatalf("answered on %s, want %s", answer.Subject(), want)
	}
	return answer
}

func (c *coordinator) want(t *testing.T, answer jetstream.Msg, outcome, data string) {
	t.Helper()
	if got, want := answer.Headers().Get("ce-type"), "dev.amends."+outcome+".v1"; got != want {
		t.Errorf("type %s, want %s (headers %v)", got, want, answer.Headers())
	}
	if string(answer.Data()) != data {
		t.Errorf("data %q, want %q", answer.Data(), data)
	}
}

// drained waits until every command is acknowledged.
func (c *coordinator) drained(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		info, err := c.commands.Info(ctx)
		if err != nil {
			t.Fatalf("commands are left: %v", err)
		}
		if info.State.Msgs == 0 {
			tick.Stop()
			return
		}
		<-tick.C
	}
}

// startParticipant runs node until the test ends. The process must then stop by itself.
func startParticipant(t *testing.T, url string) {
	t.Helper()
	node := exec.CommandContext(t.Context(), "node", "participant.mjs")
	node.Env = append(os.Environ(), "NATS_URL="+url, "NATS_USER=payment", "NATS_PASSWORD="+password, "NATS_JS_PREFIX="+natsbus.APIPrefix)
	node.Cancel = func() error { return node.Process.Signal(syscall.SIGTERM) }
	node.WaitDelay = waitLimit
	var complaints strings.Builder
	node.Stderr = &complaints
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	t.Cleanup(func() {
		for range ready { // until the output ends
		}
		_ = node.Wait() // stopped by SIGTERM when t.Context ended
		if complaints.Len() > 0 {
			t.Errorf("the participant complained:\n%s", complaints.String())
		}
		if code := node.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the participant ended with %v, want a clean end", node.ProcessState)
		}
	})
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasSuffix(lines.Text(), "is ready") {
				ready <- true
			}
		}
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatal("the participant ended before it was ready")
		}
	case <-time.After(waitLimit):
		t.Fatal("the participant is not ready")
	}
}
