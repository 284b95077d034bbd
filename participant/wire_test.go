package participant_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/wiretest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/transporttest"
)

// tap receives all messages on a server.
type tap struct {
	t    *testing.T
	sub  *nats.Subscription
	seen []string // messages that the participant has sent and received, in the form of docs/WIRE.md
}

// Parts of messages that differ between runs, with their placeholders in docs/WIRE.md.
var variable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`_INBOX_payment\.\S+`), "_INBOX_payment.<token>"},
	{regexp.MustCompile(`(\$JS\.ACK\.SAGA_COMMANDS\.payment)\.\d+\.\d+\.\d+\.\d+\.\d+`), "$1.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>"},
	{regexp.MustCompile(`"expires":\d+`), `"expires":<2500000000 to 5000000000>`},
	{regexp.MustCompile(`"stream":"SAGA_EVENTS","seq":\d+`), `"stream":"SAGA_EVENTS","seq":<number>`},
}

// form returns a message as in docs/WIRE.md, with subject, reply subject and body.
func form(m *nats.Msg) string {
	text := m.Subject
	if m.Reply != "" {
		text += "\nreply to " + m.Reply
	}
	if len(m.Data) > 0 {
		text += "\n" + string(m.Data)
	}
	for _, v := range variable {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text + "\n"
}

// until waits for a message of the given form.
func (w *tap) until(want string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		m, err := w.sub.NextMsgWithContext(ctx)
		if err != nil {
			w.t.Fatalf("the participant never sent\n%s(%v); it sent\n%s", want, err, strings.Join(w.seen, "\n"))
		}
		if text := form(m); strings.Contains(m.Reply, "_INBOX_payment.") || strings.HasPrefix(m.Subject, "$JS.ACK.") {
			w.seen = append(w.seen, text)
			if text == want {
				return
			}
		} else if text == want {
			return
		}
	}
}

// shown returns the requests in docs/WIRE.md by name.
func shown(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("<!-- wire: ([a-z-]+) -->\n```text\n((?s:.*?))```\n").FindAllStringSubmatch(string(page), -1) {
		blocks[m[1]] = m[2]
	}
	return blocks
}

// charging returns the participant of the examples in docs/WIRE.md.
func charging(opts ...participant.Option) (p *participant.Participant[*participant.MemoryTx], slow chan struct{}) {
	slow = make(chan struct{})
	p = participant.New("payment", new(participant.MemoryInbox), opts...)
	charge := contract.NewCommand[map[string]any, map[string]string]("payment", "charge-card")
	participant.Handle(p, charge, func(ctx context.Context, _ *participant.MemoryTx, _ map[string]any) (map[string]string, error) {
		if participant.KeyFrom(ctx).Saga == "slow" {
			<-slow
		}
		return map[string]string{"receipt": "r-17"}, nil
	})
	return p, slow
}

// TestRequests: docs/WIRE.md shows each JetStream request of a participant exactly as the SDK sends
// it to a real server. The SDK sends no other requests.
func TestRequests(t *testing.T) {
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	coordinator, err := natsbus.Connect(t.Context(), natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer coordinator.Close()
	sub, err := coordinator.Conn().SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := coordinator.Conn().Flush(); err != nil { // otherwise messages of another connection may arrive earlier
		t.Fatal(err)
	}
	w, blocks := &tap{t: t, sub: sub}, shown(t)
	transporttest.ServeSubscriptions(t, coordinator)
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: server.ClientURL(), InboxPrefix: natsbus.InboxPrefix("payment")})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	defer func() { _ = sub.Unsubscribe() }() // otherwise closing the connection waits for received messages
	p, _ := charging()
	stop := background(t, p, bus)
	w.until(blocks["subscribe"])
	w.until(blocks["subscribed"])
	w.until(blocks["next"])
	publish(t, coordinator, "charge-card", "order-42")
	w.until(blocks["answer"])
	w.until(blocks["puback"])
	w.until(blocks["ack"])
	publish(t, coordinator, "charge-card-v2", "order-43")
	w.until(blocks["nak"])
	js, err := jetstream.New(coordinator.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), "SAGA_COMMANDS", "payment"); err != nil {
		t.Fatal(err)
	}
	w.until(blocks["subscribe"])
	stop()

	p, slow := charging(participant.AckWait(time.Second))
	stop = background(t, p, bus)
	publish(t, coordinator, "charge-card", "slow")
	w.until(blocks["in-progress"])
	close(slow)
	stop()
	w.onlyShown(blocks)
}

// onlyShown checks that the participant has sent only requests that are shown, except for the
// settings of the second participant.
func (w *tap) onlyShown(blocks map[string]string) {
	w.t.Helper()
	known := map[string]bool{}
	for _, text := range blocks {
		subject, _, _ := strings.Cut(text, "\n")
		known[subject] = true
	}
	for _, text := range w.seen {
		subject, _, _ := strings.Cut(text, "\n")
		if !known[subject] && !strings.HasPrefix(subject, "saga.event.payment.") {
			w.t.Errorf("docs/WIRE.md does not show that a participant sends\n%s", text)
		}
	}
}

// publish sends the command in docs/WIRE.md with a different action and saga.
func publish(t *testing.T, bus *natsbus.Bus, action, saga string) {
	t.Helper()
	for _, example := range wiretest.Examples() {
		if example.Name != "command" {
			continue
		}
		e := example.Envelope
		e.Subject, e.DedupID, e.Saga, e.Expires = "saga.command.payment."+action, "", contract.SagaID(saga), time.Time{}
		e.ReplyTo = transport.Subjects{}.Event("payment", e.Key(), 1)
		if errs := bus.Publish(t.Context(), []transport.Envelope{e}); errs != nil {
			t.Fatal(errs)
		}
		return
	}
	t.Fatal("there is no example of a command")
}

// background runs a participant until stop is called.
func background(t *testing.T, p *participant.Participant[*participant.MemoryTx], bus transport.Bus) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx, bus); err != nil {
			t.Error(err) // report it at once, because the test may wait for messages for ever
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
