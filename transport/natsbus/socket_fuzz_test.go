package natsbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// FuzzSocket publishes answers as a raw client can: any subject under saga.event, any header block,
// any reply subject, any data, up to 8 times. A valid answer behind them is received, and no
// invalid one stays for redelivery (I9, I10).
func FuzzSocket(f *testing.F) {
	harbour := newHarbour(f)
	const event = "order-1.7.reserve.do.1"
	completed := "ce-type: " + transport.TypeCompleted + "\r\n"
	frame := hpub("saga.event.P.order-1.7.reserve.do.1", "NATS/1.0\r\n"+completed+"\r\n", "{}")
	for _, block := range []string{
		"", "\r\n\r\n", "NATS/1.0\r\n\r\n", "NATS/1.0\r\n" + completed + "\r\n", "NATS/1.0\r\nRequest Id: 7\r\n\r\n", "NATS/1.0\r\n(a)\"b\": c\r\n" + completed + "\r\n",
		completed + "\r\n", "NATS/1.0" + completed + "\r\n", "NATS/1.0\r\n" + completed, "NATS/1.0\r\n: \r\n:\r\n\r\n", "NATS/1.0\r\nce-type\r\n\r\n",
		"NATS/1.0 503 No Responders\r\n\r\n", "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 9\r\n\r\n", "NATS/1.0 4\r\n\r\n", "NATS/1.0 409 Consumer Deleted\r\nNats-Pending-Messages: 1\r\n\r\n",
		"NATS/1.0\r\nStatus: 409\r\nDescription: Leadership Change\r\n\r\n", "NATS/1.0\r\nNats-Rollup: all\r\n" + completed + "\r\n", "NATS/1.0\r\nNats-TTL: 1s\r\n" + completed + "\r\n",
		"NATS/1.0\r\nNats-Expected-Stream: OTHER\r\n\r\n", "NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\n" + completed + "\r\n", "NATS/1.0\r\n" + completed + completed + "\r\n",
		"NATS/1.0\r\nx: " + strings.Repeat("%", 60<<10) + "\r\n\r\n", "NATS/1.0\r\n" + strings.Repeat("a:b\r\n", 12<<10) + "\r\n", "\x00\xff\r\n\r\n", "NATS/1.0\r\nce-reason: \x00\x1b[2J\r\n" + completed + "\r\n",
	} {
		f.Add(event, "", block, []byte("{}"), byte(1))
	}
	for _, subject := range []string{"", ".", "*", ">", "x", "bundle", "bundle.1", "bundle.0", "bundle.-1", "bundle.99999999999999999999", "\x01\xff", strings.Repeat("a", 3000), "a..b", event + " ", event + "\r\nPING"} {
		f.Add(subject, "", "NATS/1.0\r\n"+completed+"\r\n", []byte("{}"), byte(2))
	}
	for _, data := range []string{"", frame, frame + frame, frame[:len(frame)-1], "HPUB ", "HPUB a 1 0\r\n\r\n", strings.ReplaceAll(frame, "event", "dead"), strings.ReplaceAll(frame, "ce-type", "ce type"), strings.Repeat(frame, 64)} {
		f.Add("bundle.1", "", "", []byte(data), byte(3))
		f.Add("bundle.2", "", "NATS/1.0\r\nA B: c\r\n\r\n", []byte(data), byte(1))
		f.Add("bundle.64", "_INBOX.x", "", []byte(data), byte(1))
	}
	f.Add(event, "$JS.API.STREAM.PURGE.SAGA_DEAD", "NATS/1.0\r\n\r\n", []byte{}, byte(1))
	f.Add(event, "saga.event.P."+event, "", []byte("x"), byte(8))
	f.Fuzz(func(t *testing.T, subject, reply, block string, data []byte, times byte) {
		harbour.publish(t, subject, reply, block, data, int(times%8)+1)
	})
}

// harbour is a server with a coordinator's bus that receives answers.
type harbour struct {
	bus    *natsbus.Bus
	js     jetstream.JetStream
	server *embedded.Server
	wire   *socket
	taken  chan string // subjects of received answers
	count  atomic.Int64
}

func newHarbour(f *testing.F) *harbour {
	f.Helper()
	f.Cleanup(natsbus.SetHold(0)) // every input waits until all its messages are acknowledged
	server, err := embedded.Start(embedded.Config{StoreDir: f.TempDir(), Port: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(server.Shutdown)
	bus, err := natsbus.Connect(f.Context(), natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate, QueueBytes: 64 << 20, LifecycleBytes: 1 << 20, DeadBytes: 16 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	h := &harbour{bus: bus, server: server, taken: make(chan string, 1024)}
	if h.js, err = jetstream.New(bus.Conn()); err != nil {
		f.Fatal(err)
	}
	source, err := bus.Subscribe(f.Context(), answers())
	if err != nil {
		f.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := source.Receive(context.Background(), 512)
			if err != nil {
				return
			}
			for _, d := range batch {
				h.taken <- d.Envelope().Subject
				d.Ack()
			}
		}
	}()
	f.Cleanup(func() {
		go func() {
			for range h.taken { // discard what the pump still sends
			}
		}()
		_ = bus.Close()
		<-done
		close(h.taken)
	})
	return h
}

// publish sends poison, followed by a valid answer. It waits until the answer is received and no
// poison is left. Each participant sends few messages, so that most poison is dead-lettered.
func (h *harbour) publish(t *testing.T, subject, reply, block string, data []byte, times int) {
	n := h.count.Add(1)
	participant := fmt.Sprintf("p%d", n%997)
	fill := func(s string) string { return strings.ReplaceAll(s, ".P.", "."+participant+".") }
	if h.wire == nil {
		h.wire = dial(h.server)
	}
	for range times {
		if block == "" {
			h.wire.pub("saga.event."+participant+"."+subject, fill(reply), fill(string(data)))
		} else {
			h.wire.hpub("saga.event."+participant+"."+subject, fill(reply), block, fill(string(data)))
		}
	}
	if _, err := h.wire.tryFlush(); err != nil { // the server has closed the connection, as expected
		_ = h.wire.conn.Close()
		h.wire = nil
	}
	right := fmt.Sprintf("saga.event.right.order-%d.7.reserve.do.1", n)
	if errs := h.bus.Publish(t.Context(), []transport.Envelope{{Subject: right, Type: transport.TypeCompleted}}); errs != nil {
		t.Fatal(errs)
	}
	limit := time.After(waitLimit)
	for got := ""; got != right; {
		select {
		case got = <-h.taken:
		case <-limit:
			t.Fatalf("a right answer was not taken: %+v", h.bus.Stats())
		}
	}
	h.rest(t)
}

// rest waits until the stream of answers is empty and no message is unacknowledged.
func (h *harbour) rest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		stream, err := h.js.Stream(ctx, h.bus.StreamName(transport.StreamEvents))
		if err == nil && stream.CachedInfo().State.Msgs == 0 {
			var c jetstream.Consumer
			if c, err = stream.Consumer(ctx, "coordinator"); err == nil && c.CachedInfo().NumAckPending == 0 {
				return
			}
		}
		select {
		case <-h.taken:
		default:
		}
		if ctx.Err() != nil {
			t.Fatalf("something is left in the stream of answers (%v): %+v", err, h.bus.Stats())
		}
	}
}
