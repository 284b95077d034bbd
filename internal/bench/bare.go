package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Bare measures the bare bus. Plain nats.go code publishes, consumes and acknowledges the messages
// of a saga of the mix, with the same number, sizes and headers, on the same kind of server and
// streams. It decides and stores nothing. Its rate is therefore what a coordinator without any cost
// would reach.
func Bare(ctx context.Context, o Options) (y Baseline, err error) {
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(o.Dir, "bare"), Port: -1})
	if err != nil {
		return y, err
	}
	defer server.Shutdown()
	b := &bare{hub: newHub(o.Mix), connections: connections{server: server, inside: o.InProcess}}
	defer b.close()
	callers, err := b.open(ctx)
	if err != nil {
		return y, fmt.Errorf("bare bus: %w", err)
	}
	run := caller(callers, "bare", o.Callers)
	return pace(ctx, o, "bare bus", func(ctx context.Context) error { return run(ctx, uuid.NewString()) })
}

type bare struct {
	*hub
	connections
	js jetstream.JetStream // JetStream context of the hub
}

func (b *bare) jetStream() (*nats.Conn, jetstream.JetStream, error) {
	nc, err := b.connect()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	return nc, js, err
}

// open makes streams like natsbus's, the services, and a hub in place of the coordinator. It
// returns the callers' connection.
func (b *bare) open(ctx context.Context) (callers *nats.Conn, err error) {
	nc, js, err := b.jetStream()
	if err != nil {
		return nil, err
	}
	b.js = js
	for name, queue := range map[string]bool{"command": true, "event": true, "lifecycle": false} {
		c := jetstream.StreamConfig{Name: "BARE_" + strings.ToUpper(name), Subjects: []string{"bare." + name + ".>"}, Duplicates: 2 * time.Minute}
		if queue {
			c.Retention, c.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardNew
		}
		if _, err := js.CreateStream(ctx, c); err != nil {
			return nil, err
		}
	}
	for k := range yardServices {
		if err := b.service(ctx, k); err != nil {
			return nil, err
		}
	}
	if err := b.consume(ctx, js, "BARE_EVENT", "hub", "bare.event.>", b.answered); err != nil {
		return nil, err
	}
	b.start = func(round string) error {
		b.announce(round)
		b.command(round, 0)
		return nil
	}
	if err := b.serve(nc, "bare"); err != nil {
		return nil, err
	}
	return b.connect()
}

func (b *bare) consume(ctx context.Context, js jetstream.JetStream, stream, name, filter string, handle func(jetstream.Msg)) error {
	c, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4096,
	})
	if err != nil {
		return err
	}
	_, err = c.Consume(handle, jetstream.PullMaxMessages(1024))
	return err
}

// service answers commands and does no other work.
func (b *bare) service(ctx context.Context, k int) error {
	_, js, err := b.jetStream()
	if err != nil {
		return err
	}
	name := "service-" + strconv.Itoa(k)
	return b.consume(ctx, js, "BARE_COMMAND", name, "bare.command."+name+".>", func(m jetstream.Msg) {
		round, at := m.Headers().Get("ce-sagaid"), legOf(m.Subject())
		_, _ = js.PublishMsgAsync(natsMessage("bare.event."+name+"."+round+".do."+strconv.Itoa(at), round, b.script.legs[at].answer))
		_ = m.Ack()
	})
}

// legOf returns the leg, which is the last token of a subject.
func legOf(subject string) int {
	at, _ := strconv.Atoi(subject[strings.LastIndexByte(subject, '.')+1:])
	return at
}

// natsMessage returns a message with the headers of a command or answer.
func natsMessage(subject, round string, data []byte) *nats.Msg {
	id := uuid.NewString()
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		"Nats-Msg-Id": {id}, "ce-specversion": {"1.0"}, "ce-id": {round + "/hod85snpc0/create-shipment/do/1"},
		"ce-source": {"/amends/coordinator"}, "ce-type": {"dev.amends.command.v1"}, "ce-time": {"2026-01-01T12:00:00.000000000Z"},
		"ce-sagaid": {round}, "ce-birth": {"hod85snpc0"}, "ce-definition": {"checkout/1"}, "ce-step": {"create-shipment"}, "ce-direction": {"do"},
		"ce-attempt": {"1"}, "ce-replyto": {"saga.event.shipping." + round + ".hod85snpc0.create-shipment.do.1"},
		"ce-expirytime": {"2026-01-01T12:00:30.000000000Z"},
	}}
}

func (b *bare) answered(m jetstream.Msg) {
	round, at := m.Headers().Get("ce-sagaid"), legOf(m.Subject())
	_ = m.Ack()
	if at+1 < len(b.script.legs) {
		b.command(round, at+1)
		return
	}
	for range b.script.announcements - 1 {
		b.announce(round)
	}
	b.end(round)
}

func (b *bare) command(round string, at int) {
	l := &b.script.legs[at]
	_, _ = b.js.PublishMsgAsync(natsMessage("bare.command.service-"+strconv.Itoa(l.service)+".act."+strconv.Itoa(at), round, l.command))
}

func (b *bare) announce(round string) {
	_, _ = b.js.PublishMsgAsync(natsMessage("bare.lifecycle.checkout.running", round, []byte(strings.Repeat("l", 160))))
}
