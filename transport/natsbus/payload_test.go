package natsbus_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// longPrefix is the longest first token of a subject.
var longPrefix = strings.Repeat("p", transport.MaxPrefix)

// largestCommand returns a command with the longest names and prefix. Every attribute has its
// maximum length, with bytes that must be encoded where they are allowed, and the data are those of
// the largest undo.
func largestCommand() transport.Envelope {
	text := func(n int) string { return strings.Repeat("\x01", n) }
	name := strings.Repeat("n", contract.MaxNameLength)
	key := contract.Key{Saga: contract.SagaID(strings.Repeat("x", contract.MaxSagaIDLength)), Birth: contract.MaxBirth, Step: contract.StepName(name), Direction: contract.DirectionUndo}
	subjects := transport.Subjects{Prefix: longPrefix}
	quoted := bytes.Repeat([]byte{'A'}, base64.StdEncoding.EncodedLen(contract.MaxPayload))
	result := bytes.Repeat([]byte{'1'}, contract.MaxPayload)
	moment := time.Now().Add(30 * 24 * time.Hour).UTC()
	return transport.Envelope{
		Subject: subjects.Command(name, name), DedupID: strings.Repeat("d", transport.MaxDedupID),
		ID: text(transport.MaxID), Source: text(transport.MaxSource), Type: transport.TypeCommand, Time: moment,
		ContentType: `text/plain; a="` + strings.Repeat(" ", transport.MaxContentType-len(`text/plain; a=""`)) + `"`,
		TraceParent: trace, TraceState: strings.Repeat("~", transport.MaxTraceState),
		Saga: key.Saga, Birth: key.Birth, Definition: contract.DefinitionRef{Name: name, Version: contract.MaxNumber}, Step: key.Step, Direction: key.Direction,
		Attempt: contract.MaxNumber, ReplyTo: subjects.Event(name, key, contract.MaxNumber), Expires: moment,
		Reason: text(transport.MaxReason), Final: true, Code: text(transport.MaxCode), RetryAfter: transport.MaxRetryAfter,
		Data: fmt.Appendf(nil, `{"request":"%s","result":%s}`, quoted, result),
	}
}

// With the smallest accepted server limit, the largest message can be published, received,
// dead-lettered, replayed and received again (I9, I10).
func TestLargestMessageLives(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{MaxPayload: natsbus.MinPayload}), func(c *natsbus.Config) { c.Prefix = longPrefix })
	want := largestCommand()
	if len(want.Data) > transport.MaxData {
		t.Errorf("the largest undo has %d bytes, more than MaxData, %d", len(want.Data), transport.MaxData)
	}
	if errs := bus.Publish(within(t), []transport.Envelope{want}); errs != nil {
		t.Fatal(errs)
	}
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamCommands, Name: "participant"})
	receive := func() transport.Delivery {
		t.Helper()
		batch, err := source.Receive(within(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, *batch[0].Envelope(), cmpopts.IgnoreFields(transport.Envelope{}, "DedupID")); diff != "" {
			t.Fatalf("received (-published +received):\n%.2000s", diff)
		}
		return batch[0]
	}
	reason := strings.Repeat("é", transport.MaxReason/2)
	if err := receive().DeadLetter(within(t), reason); err != nil {
		t.Fatal(err)
	}
	awaitEmpty(t, bus, transport.StreamCommands)
	list, err := bus.ListDeadLetters(within(t), 0, 10)
	if err != nil || len(list) != 1 || list[0].Reason != reason || !bytes.Equal(list[0].Data, want.Data) {
		t.Fatalf("%d dead letters, %v", len(list), err)
	}
	if err := bus.ReplayDeadLetter(within(t), list[0].Sequence); err != nil {
		t.Fatal(err)
	}
	receive().Ack()
}

// Connect refuses a server whose limit is too small for a saga. The error contains the setting to
// change.
func TestSmallPayloadIsRefused(t *testing.T) {
	server := start(t, embedded.Config{MaxPayload: natsbus.MinPayload - 1})
	nc, err := natstest.Connect("", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for name, provision := range map[string]natsbus.Provisioning{"create": natsbus.ProvisionCreate, "verify": natsbus.ProvisionVerify, "ask": natsbus.ProvisionAsk} {
		bus, err := natsbus.New(within(t), nc, natsbus.Config{Provision: provision})
		if bus != nil {
			bus.Close()
		}
		if !errors.Is(err, natsbus.ErrPayload) || !strings.Contains(err.Error(), "set max_payload: 1MB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]natsbus.Config{
		"prefix":            {Prefix: longPrefix + "p"},
		"inbox prefix":      {InboxPrefix: strings.Repeat("i", 257)},
		"max message bytes": {MaxMessageBytes: transport.MaxMessage - 1},
		"connect timeout":   {ConnectTimeout: -1},
		"dead age":          {DeadAge: -1},
		"check interval":    {CheckInterval: -1},
		"max publishing":    {MaxPublishing: -1},
		"prefetch":          {Prefetch: -1},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
