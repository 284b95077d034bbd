package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// bareSteps is how many commands and answers one round has.
const bareSteps = 4

// Bare measures the bare bus: the messages of an all-well saga, as many, as large
// and with headers like theirs, over the same kind of server with the same
// streams, published and consumed with acknowledgements by plain nats.go code.
// Nothing is decided and nothing is kept. It returns rounds per second: what a
// coordinator that cost nothing would reach here.
func Bare(ctx context.Context, o Options) (perSecond float64, err error) {
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(o.Dir, "bare"), Port: -1})
	if err != nil {
		return 0, err
	}
	defer server.Shutdown()
	b := &bare{waiting: map[string]chan struct{}{}}
	defer b.close()
	if err := b.open(ctx, server.ClientURL()); err != nil {
		return 0, fmt.Errorf("bare bus: %w", err)
	}
	return b.measure(ctx, o)
}

type bare struct {
	hub     jetstream.JetStream
	callers *nats.Conn
	conns   []*nats.Conn

	mu      sync.Mutex
	waiting map[string]chan struct{} // by round: closed when it ends
}

func (b *bare) close() {
	for _, nc := range b.conns {
		nc.Close()
	}
}

func (b *bare) connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	b.conns = append(b.conns, nc)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	return nc, js, err
}

// open makes streams like natsbus's, four services, and a hub in the place of the
// coordinator.
func (b *bare) open(ctx context.Context, url string) error {
	nc, js, err := b.connect(url)
	if err != nil {
		return err
	}
	b.hub = js
	for name, queue := range map[string]bool{"command": true, "event": true, "lifecycle": false} {
		c := jetstream.StreamConfig{Name: "BARE_" + strings.ToUpper(name), Subjects: []string{"bare." + name + ".>"}, Duplicates: 2 * time.Minute}
		if queue {
			c.Retention, c.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardNew
		}
		if _, err := js.CreateStream(ctx, c); err != nil {
			return err
		}
	}
	for k := range bareSteps {
		if err := b.service(ctx, url, k); err != nil {
			return err
		}
	}
	if err := b.consume(ctx, js, "BARE_EVENT", "hub", "bare.event.>", b.answered); err != nil {
		return err
	}
	if _, err := nc.QueueSubscribe("bare.start", "hub", b.started); err != nil {
		return err
	}
	if _, err := nc.QueueSubscribe("bare.wait", "hub", b.awaited); err != nil {
		return err
	}
	b.callers, _, err = b.connect(url)
	return err
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

// service answers its commands and does nothing else.
func (b *bare) service(ctx context.Context, url string, k int) error {
	_, js, err := b.connect(url)
	if err != nil {
		return err
	}
	name := "service-" + strconv.Itoa(k)
	answer, err := json.Marshal(done{1, strings.Repeat("r", 60)})
	if err != nil {
		return err
	}
	return b.consume(ctx, js, "BARE_COMMAND", name, "bare.command."+name+".>", func(m jetstream.Msg) {
		round := m.Headers().Get("ce-sagaid")
		_, _ = js.PublishMsgAsync(message("bare.event."+name+"."+round+"."+strconv.Itoa(k)+".do.1", round, answer))
		_ = m.Ack()
	})
}

// message has the headers that a command or answer has.
func message(subject, round string, data []byte) *nats.Msg {
	id := uuid.NewString()
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		"Nats-Msg-Id": {id}, "ce-specversion": {"1.0"}, "ce-id": {round + "/create-shipment/do/1"},
		"ce-source": {"/amends/coordinator"}, "ce-type": {"dev.amends.command.v1"}, "ce-time": {"2026-01-01T12:00:00.000000000Z"},
		"ce-sagaid": {round}, "ce-definition": {"checkout/1"}, "ce-step": {"create-shipment"}, "ce-direction": {"do"},
		"ce-attempt": {"1"}, "ce-replyto": {"saga.event.shipping." + round + ".create-shipment.do.1"},
		"ce-expirytime": {"2026-01-01T12:00:30.000000000Z"},
	}}
}

func (b *bare) started(m *nats.Msg) {
	round := m.Header.Get("ce-sagaid")
	b.mu.Lock()
	b.waiting[round] = make(chan struct{})
	b.mu.Unlock()
	b.announce(round)
	b.command(round, 0, m.Data)
	_ = m.RespondMsg(message("", round, []byte(`{"phase":"running"}`)))
}

func (b *bare) awaited(m *nats.Msg) {
	round := m.Header.Get("ce-sagaid")
	b.mu.Lock()
	ended := b.waiting[round]
	b.mu.Unlock()
	go func() {
		<-ended
		b.mu.Lock()
		delete(b.waiting, round)
		b.mu.Unlock()
		_ = m.RespondMsg(message("", round, []byte(`{"phase":"completed"}`)))
	}()
}

func (b *bare) answered(m jetstream.Msg) {
	tokens := strings.Split(m.Subject(), ".")
	round, k := tokens[3], int(tokens[4][0]-'0')
	_ = m.Ack()
	if k+1 < bareSteps {
		b.command(round, k+1, m.Data())
		return
	}
	b.announce(round)
	b.mu.Lock()
	close(b.waiting[round])
	b.mu.Unlock()
}

func (b *bare) command(round string, k int, data []byte) {
	_, _ = b.hub.PublishMsgAsync(message("bare.command.service-"+strconv.Itoa(k)+".act", round, data))
}

func (b *bare) announce(round string) {
	_, _ = b.hub.PublishMsgAsync(message("bare.lifecycle.checkout.running", round, []byte(strings.Repeat("l", 160))))
}

// measure keeps rounds under way and counts after a warm-up.
func (b *bare) measure(ctx context.Context, o Options) (float64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var ended atomic.Int64
	var callers sync.WaitGroup
	defer callers.Wait()
	for range o.InFlight {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := b.round(ctx); err != nil && ctx.Err() == nil {
					stop(err)
				}
				ended.Add(1)
			}
		})
	}
	pass(ctx, o, &ended, o.For/5, "bare bus, warming up")
	n, began := ended.Load(), time.Now()
	pass(ctx, o, &ended, o.For/2, "bare bus")
	perSecond := float64(ended.Load()-n) / time.Since(began).Seconds()
	if err := context.Cause(ctx); err != nil {
		return 0, fmt.Errorf("bare bus: %w", err)
	}
	stop(nil)
	return perSecond, nil
}

func (b *bare) round(ctx context.Context) error {
	round := uuid.NewString()
	data, err := json.Marshal(input(1))
	if err != nil {
		return err
	}
	for _, m := range []*nats.Msg{message("bare.start", round, data), message("bare.wait", round, nil)} {
		if _, err := b.callers.RequestMsgWithContext(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
