package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/natsaccount"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/transporttest"
)

// The coordinator creates the consumer of a participant that lacks the permission to create one,
// and recreates it after a loss.
func TestAsk(t *testing.T) {
	server := start(t, embedded.Config{Port: -1, UsersFile: usersFile(t), Account: natsbus.Account})
	owner := connect(t, server, asOwner)
	transporttest.ServeSubscriptions(t, owner)
	participant := connect(t, server, func(c *natsbus.Config) {
		c.User, c.Password, c.Provision, c.InboxPrefix = "inventory", "inventory", natsbus.ProvisionAsk, natsbus.InboxPrefix("inventory")
	})
	sub := inventory()
	sub.AckWait, sub.MaxInFlight, sub.Bundle = 7*time.Second, 99, 8
	source := subscribe(t, participant, sub)
	js := jetStream(t, owner)
	look := func() *jetstream.ConsumerInfo {
		t.Helper()
		c, err := js.Consumer(within(t), "SAGA_COMMANDS", "inventory")
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo()
	}
	info := look()
	if c := info.Config; c.AckWait != 7*time.Second || c.MaxAckPending != 99 || c.FilterSubject != "saga.command.inventory.>" || c.Metadata["amends-bundle"] != "8" ||
		natsaccount.Shared(c.Metadata) || c.MaxDeliver != -1 || c.AckPolicy != jetstream.AckExplicitPolicy {
		t.Errorf("the consumer is %+v", c)
	}
	insist(t, owner, command("a"))
	await(t, source, "a")
	if err := participant.Check(within(t)); err != nil {
		t.Error(err)
	}
	if err := js.DeleteConsumer(within(t), "SAGA_COMMANDS", "inventory"); err != nil {
		t.Fatal(err)
	}
	insist(t, owner, command("b"))
	await(t, source, "b")
	if again := look(); !again.Created.After(info.Created) || again.Config.MaxAckPending != 99 {
		t.Errorf("it is recreated as %+v", again.Config)
	}
}

// A participant waits for a coordinator, and logs that it does.
func TestAskWaitsForACoordinator(t *testing.T) {
	server := start(t, embedded.Config{})
	owner := connect(t, server, nil)
	var log notes
	participant := connect(t, server, func(c *natsbus.Config) {
		c.Provision, c.Logger = natsbus.ProvisionAsk, slog.New(slog.NewTextHandler(&log, nil))
	})
	opened := make(chan transport.Source, 1)
	go func() {
		source, err := participant.Subscribe(within(t), inventory())
		if err != nil {
			t.Error(err)
		}
		opened <- source
	}()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), "waiting for the coordinator") })
	transporttest.ServeSubscriptions(t, owner)
	source := <-opened
	insist(t, owner, command("a"))
	await(t, source, "a")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := participant.AskConsumer(ended, "inventory", api.SubscribeRequest{}); err == nil {
		t.Error("it asks although its context has ended")
	}
	wrong := inventory()
	wrong.Name = "somebody"
	if _, err := participant.Subscribe(within(t), wrong); err == nil || !strings.Contains(err.Error(), "saga.command.somebody.>") {
		t.Errorf("a subscription to commands of others: %v", err)
	}
}

// Consumers of expected participants are created, kept and repaired. Consumers that deliver with
// the server's permissions are removed, even those of unexpected participants.
func TestConsumersArePutRight(t *testing.T) {
	t.Parallel()
	server := start(t, embedded.Config{})
	owner := connect(t, server, nil)
	js := jetStream(t, owner)
	list := func() (names []string) {
		stream, err := js.Stream(within(t), "SAGA_COMMANDS")
		if err != nil {
			return nil
		}
		consumers := stream.ListConsumers(within(t))
		for info := range consumers.Info() {
			name := info.Name
			if info.Config.DeliverSubject != "" || info.Config.AckPolicy != jetstream.AckExplicitPolicy || info.Config.FilterSubject != "saga.command."+info.Name+".>" || info.Config.MaxDeliver > 0 {
				name += " (wrong)"
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	are := func(what string, want ...string) {
		t.Helper()
		eventually(t, what, func() bool { return slices.Equal(list(), want) })
	}
	owner.Expect([]string{"payment", "inventory", "payment"})
	are("expected participants have consumers", "inventory", "payment")
	push := &jetstream.ConsumerConfig{Durable: "shipping", FilterSubject: "saga.command.shipping.>", AckPolicy: jetstream.AckExplicitPolicy, DeliverSubject: "$JS.API.STREAM.PURGE.SAGA_DEAD"}
	if _, err := js.CreatePushConsumer(within(t), "SAGA_COMMANDS", *push); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]jetstream.ConsumerConfig{
		"another filter": {Durable: "inventory", FilterSubject: "saga.command.inventory.reserve-stock", AckPolicy: jetstream.AckExplicitPolicy},
		"a few tries":    {Durable: "inventory", FilterSubject: "saga.command.inventory.>", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 2},
	} {
		if err := js.DeleteConsumer(within(t), "SAGA_COMMANDS", "inventory"); err != nil {
			t.Fatal(err)
		}
		eventually(t, name, func() bool { // retry, because a consumer may be missing during its repair
			_, err := js.CreateOrUpdateConsumer(within(t), "SAGA_COMMANDS", wrong)
			return err == nil
		})
		are(name, "inventory", "payment") // repaired, or recreated if it was missing
	}
	if err := js.DeleteConsumer(within(t), "SAGA_COMMANDS", "payment"); err != nil {
		t.Fatal(err)
	}
	are("one that is deleted is recreated", "inventory", "payment")
	if owner.Stats().ConsumersRighted == 0 {
		t.Error("that one pushed is counted nowhere")
	}
}

// Replies are published only to inboxes. A request with any other reply subject is not served.
func TestRepliesGoToInboxes(t *testing.T) {
	server := start(t, embedded.Config{})
	owner := connect(t, server, func(c *natsbus.Config) { c.ReplyPrefixes = []string{"answers.here"} })
	served := make(chan struct{}, 100)
	stop, err := owner.Respond("saga.api.get", "coordinator", func(_ *transport.Envelope, reply func(*transport.Envelope)) {
		served <- struct{}{}
		reply(&transport.Envelope{Data: []byte("{}")})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	nc := owner.Conn()
	wrong := []string{
		"$JS.API.STREAM.PURGE.SAGA_DEAD", "saga.command.payment.charge", "saga.api.get", "_INBOX", "_INBOXES.a",
		"_R_", "$SYS.REQ.SERVER.PING", "_inbox.a", "answers.there", "answers.here", "answers.herewith.a", "payment",
	}
	for i, reply := range wrong { // the server itself refuses $JS.ACK and _R_
		heard, err := nc.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest("saga.api.get", reply, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, reply+" is counted", func() bool { return owner.Stats().RepliesRefused == int64(i+1) })
		if m, err := heard.NextMsg(time.Nanosecond); !errors.Is(err, nats.ErrTimeout) && reply != "saga.api.get" {
			t.Errorf("%s: %v, %v", reply, m, err)
		}
		_ = heard.Unsubscribe()
	}
	if n := owner.Stats().RepliesRefused; n < int64(len(wrong)) || len(served) > 0 {
		t.Errorf("%d refused of %d, %d served", n, len(wrong), len(served))
	}
	for _, reply := range []string{nats.NewInbox(), "_INBOX_shop.a", "answers.here.a"} {
		heard, err := nc.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest("saga.api.get", reply, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := heard.NextMsgWithContext(within(t)); err != nil {
			t.Errorf("%s: %v", reply, err)
		}
	}
}

// TestWhoAsksHasItsOwn: participants ask for their consumers while the coordinator creates missing
// ones. They get the settings that they asked for.
func TestWhoAsksHasItsOwn(t *testing.T) {
	owner := connect(t, start(t, embedded.Config{}), nil)
	js := jetStream(t, owner)
	want := api.SubscribeRequest{AckWait: api.For(45 * time.Second), MaxInFlight: 77, Bundle: 64}
	var asking []string
	for i := range 20 {
		asking = append(asking, fmt.Sprint("asking-", i))
	}
	owner.Expect(append(slices.Clone(asking), "silent")) // the coordinator creates the last one last
	for _, name := range asking {
		if _, err := owner.Provide(within(t), name, want); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the missing ones are made", func() bool {
		_, err := js.Consumer(within(t), "SAGA_COMMANDS", "silent")
		return err == nil
	})
	for _, name := range asking {
		consumer, err := js.Consumer(within(t), "SAGA_COMMANDS", name)
		if err != nil {
			t.Fatal(err)
		}
		if c := consumer.CachedInfo().Config; c.AckWait != 45*time.Second || c.MaxAckPending != 77 || c.Metadata["amends-bundle"] != "64" {
			t.Fatalf("%s has not what it asked for: ack wait %s, %d in flight, %v", name, c.AckWait, c.MaxAckPending, c.Metadata)
		}
	}
}
