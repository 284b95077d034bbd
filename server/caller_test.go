package server_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
)

// TestWatchesPerCallerOfNATS checks that a connection may have as many watch requests open as
// allowed, and does not lock out other connections (I13).
func TestWatchesPerCallerOfNATS(t *testing.T) {
	const most = 3
	d := start(t, server.Config{DataDir: t.TempDir(), MaxStreams: most, Definitions: []*saga.Definition{refund(t)}})
	replies := func() (watch func(), next func() *nats.Msg) {
		conn := newWire(t, d.NATS).conn
		inbox := conn.NewInbox()
		sub, err := conn.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		watch = func() {
			if err := conn.PublishMsg(&nats.Msg{Subject: "saga.api.poll", Reply: inbox, Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		return watch, func() *nats.Msg {
			m, err := sub.NextMsg(limit)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	watchOne, nextOne := replies()
	for range most + 1 {
		watchOne()
	}
	refused := nextOne()
	if refused.Header.Get("ce-code") != string(api.CodeResourceExhausted) || refused.Header.Get(transport.AttrRetryAfter) == "" || !strings.Contains(refused.Header.Get("ce-reason"), "MaxWatches") {
		t.Errorf("one too many is answered with %v", refused.Header)
	}
	watchOther, nextOther := replies()
	for range most + 1 {
		watchOther()
	}
	if refused := nextOther(); refused.Header.Get("ce-code") != string(api.CodeResourceExhausted) {
		t.Errorf("one too many of another is answered with %v", refused.Header)
	}
	ask(t, d, func(ctx context.Context, c *client.Client) { // all open requests are answered
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1); err != nil {
			t.Fatal(err)
		}
	})
	for range most {
		for _, m := range []*nats.Msg{nextOne(), nextOther()} {
			if m.Header.Get("ce-code") != "" {
				t.Errorf("a watch that was held is answered with %v", m.Header)
			}
		}
	}
}
