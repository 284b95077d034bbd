package server_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// errands lists subjects to which neither payment nor shop may publish. Nothing else publishes to
// them in these tests.
var errands = []string{
	"$JS.API.STREAM.PURGE.SAGA_DEAD",
	"$JS.API.STREAM.DELETE.SAGA_LIFECYCLE",
	"$JS.API.STREAM.UPDATE.SAGA_DEAD",
	"$JS.API.CONSUMER.DELETE.SAGA_COMMANDS.shipping",
	"$JS.API.CONSUMER.DELETE.SAGA_EVENTS.coordinator",
	"$JS.API.CONSUMER.MSG.NEXT.SAGA_COMMANDS.shipping",
	"saga.event.shipping.order-1.7.send.do.1",
	"saga.command.shipping.send",
	"saga.command.payment.never",
	"saga.lifecycle.checkout.completed",
	"saga.dead.events.shipping",
	"saga.api.register-definition",
	"_INBOX_shipping.abc",
	"_INBOX.abc",
}

// TestReplySubjects checks reply subjects, which a NATS server does not check, unlike the subject
// of a message. A participant or caller may put any reply subject into a request. That does not
// cause a message in the coordinator's account on a subject to which they may not publish
// themselves.
func TestReplySubjects(t *testing.T) {
	roles := []string{"payment", "shipping", "caller:shop"}
	for name, open := range map[string]func(t *testing.T) (h *harbour, home *nats.Conn){
		"embedded": func(t *testing.T) (*harbour, *nats.Conn) {
			users, passwords := secrets(t, roles...)
			d := start(t, server.Config{
				DataDir: filepath.Join(t.TempDir(), "data"), Definitions: []*saga.Definition{checkout()},
				NATS: server.NATS{Listen: "127.0.0.1:0", Users: users},
			})
			bus, err := d.Connect(t.Context(), "watcher")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bus.Close() })
			return &harbour{url: d.NATS, passwords: passwords, log: &notes{}}, bus.Conn()
		},
		"separate": func(t *testing.T) (*harbour, *nats.Conn) { return separate(t, false, roles...) },
		"lenient":  func(t *testing.T) (*harbour, *nats.Conn) { return separate(t, true, roles...) },
	} {
		t.Run(name, func(t *testing.T) {
			h, home := open(t)
			if heard := h.errands(t, home); len(heard) > 0 {
				t.Errorf("published with rights of others: %v", heard)
			}
		})
	}
}

// TestReplySubjectsInOneAccount checks what docs/SECURITY-GUIDE.md says about a single account. For
// users who pull or acknowledge, the server publishes to any reply subject. The coordinator, which
// answers requests, does not.
func TestReplySubjectsInOneAccount(t *testing.T) {
	h, home := separate(t, false, "--single-account", "payment", "shipping", "caller:shop")
	ways := map[string]bool{}
	for _, heard := range h.errands(t, home) {
		if !strings.HasPrefix(heard.subject, "_INBOX") { // an inbox may be the sender's own
			ways[heard.way] = true
		}
	}
	got := slices.Sorted(maps.Keys(ways))
	want := []string{"acknowledge +ACK", "acknowledge +NXT", "acknowledge +TERM", "acknowledge +WPI", "acknowledge -NAK", "answer", "pull", "pull {}"}
	for _, way := range want {
		if !ways[way] {
			t.Errorf("nothing is published for %s, only for %q", way, got)
		}
	}
}

func separate(t *testing.T, lenient bool, arguments ...string) (*harbour, *nats.Conn) {
	t.Helper()
	h := external(t, lenient, append(arguments, "coordinator:amends", "responder:amends-requests")...)
	nc, err := natstest.Connect(h.url, nats.UserInfo(watcher, watcher))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return h, nc
}

// errand is a message that was published to a subject forbidden to its sender.
type errand struct{ way, subject string }

// errands sends every request that a participant or a caller may send, with each of the forbidden
// subjects as its reply subject. It returns the subjects that received a message.
func (h *harbour) errands(t *testing.T, home *nats.Conn) (run []errand) {
	t.Helper()
	js, err := jetstream.New(home)
	if err != nil {
		t.Fatal(err)
	}
	taps := map[string]*nats.Subscription{}
	for _, subject := range errands {
		if taps[subject], err = home.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	payment, _ := h.connection(t, "payment")
	shop, _ := h.connection(t, "shop")
	if _, err := payment.Request("saga.api.subscribe.payment", nil, limit); err != nil {
		t.Fatal(err)
	}
	orders := client.New(h.bus(t, "shop"))
	const next = "$JS.API.CONSUMER.MSG.NEXT.SAGA_COMMANDS.payment"
	if _, err := js.Publish(t.Context(), "saga.dead.events.payment", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	n := 0
	charge := func() { // a command for payment
		n++
		if _, err := orders.Start(t.Context(), contract.DefinitionRef{Name: "checkout"}, order{"x"}, client.ID(contract.SagaID(fmt.Sprint("order-", n)))); err != nil {
			t.Fatal(err)
		}
	}
	take := func() *nats.Msg {
		t.Helper()
		charge()
		m, err := payment.Request(next, []byte(`{"batch":1,"expires":60000000000}`), limit)
		if err != nil || m.Reply == "" {
			t.Fatalf("payment is given %v, %v", m, err)
		}
		return m
	}
	by := func(nc *nats.Conn, subject, data string) func(string) {
		return func(reply string) {
			if err := nc.PublishRequest(subject, reply, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ways := map[string]func(reply string){
		"subscribe":  by(payment, "saga.api.subscribe.payment", ""),
		"nonsense":   by(payment, "saga.api.subscribe.payment", "}"),
		"answer":     by(payment, "saga.event.payment.order-1.7.charge.do.1", "{}"),
		"pull {}":    func(reply string) { charge(); by(payment, next, "{}")(reply) },
		"pull":       func(reply string) { charge(); by(payment, next, `{"batch":1,"expires":60000000000}`)(reply) },
		"get":        by(shop, "saga.api.get", ""),
		"wait":       by(shop, "saga.api.wait", "}"),
		"start":      by(shop, "saga.api.start", "{}"),
		"run":        by(shop, "saga.api.run", ""),
		"look at it": by(payment, "$JS.API.CONSUMER.INFO.SAGA_COMMANDS.payment", ""),
		"look again": by(payment, natsbus.APIPrefix+".CONSUMER.INFO.SAGA_COMMANDS.payment", ""),
		"pull again": func(reply string) {
			charge()
			by(payment, natsbus.APIPrefix+".CONSUMER.MSG.NEXT.SAGA_COMMANDS.payment", "{}")(reply)
		},
		"make it":      by(payment, "$JS.API.CONSUMER.CREATE.SAGA_COMMANDS.payment.saga.command.payment.>", "{}"),
		"ask the user": by(payment, "$SYS.REQ.USER.INFO", ""),
	}
	for _, word := range []string{"+ACK", "-NAK", "+WPI", "+TERM", "+NXT"} {
		ways["acknowledge "+word] = func(reply string) {
			charge() // for +NXT
			by(payment, take().Reply, word)(reply)
		}
	}
	// drain waits until earlier requests have been handled, and collects the messages received.
	drain := func(way string) {
		for range 2 {
			if _, err := payment.Request("saga.api.subscribe.payment", nil, limit); err != nil {
				t.Fatal(err)
			}
			if _, err := shop.Request("saga.api.get", nil, limit); err != nil {
				t.Fatal(err)
			}
		}
		if err := home.Flush(); err != nil {
			t.Fatal(err)
		}
		for subject, tap := range taps {
			for {
				if _, err := tap.NextMsg(time.Nanosecond); err != nil {
					break
				}
				run = append(run, errand{way, subject})
			}
		}
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		for _, subject := range errands {
			ways[way](subject)
		}
		drain(way)
	}
	drain("the last")
	return run
}
