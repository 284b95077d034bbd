package natsbus_test

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

const answer = "saga.event.inventory.order-1.7.reserve.do.1"

func right() nats.Header { return nats.Header{"ce-type": {transport.TypeCompleted}} }

func with(header nats.Header, more map[string][]string) nats.Header {
	maps.Copy(header, more)
	return header
}

// malformed returns messages that must be dead-lettered. Each has a word that the reason must
// contain.
func malformed() map[string]struct {
	subject string
	header  nats.Header
	reason  string
} {
	type letter = struct {
		subject string
		header  nats.Header
		reason  string
	}
	bad := func(reason, name string, values ...string) letter {
		return letter{answer, with(right(), map[string][]string{name: values}), reason}
	}
	return map[string]letter{
		"no headers at all":           {answer, nil, "ce-type"},
		"unknown type":                bad("ce-type", "ce-type", "com.example.thing"),
		"a command among the answers": bad("ce-type", "ce-type", transport.TypeCommand),
		"repeated":                    bad("more than once", "ce-type", transport.TypeCompleted, transport.TypeFailed),
		"repeated in another case":    bad("more than once", "Ce-Type", transport.TypeCompleted),
		"repeated id":                 bad("more than once", "ce-id", "a", "b"),
		"wrong specversion":           bad("ce-specversion", "ce-specversion", "0.3"),
		"structured mode":             bad("structured", "Content-Type", "application/cloudevents+json; charset=utf-8"),
		"batched mode":                bad("structured", "ce-datacontenttype", "application/cloudevents-batch+json"),
		"an id of 513 bytes":          bad("is 513 bytes long; at most 512", "ce-id", strings.Repeat("%20", 513)),
		"a source of 257 bytes":       bad("is 257 bytes long; at most 256", "ce-source", strings.Repeat("s", 257)),
		"a type of 129 bytes":         bad("is 129 bytes long; at most 128", "ce-type", strings.Repeat("t", 129)),
		"a code of 65 bytes":          bad("is 65 bytes long; at most 64", "ce-code", strings.Repeat("c", 65)),
		"a time of 65 bytes":          bad("is 65 bytes long; at most 64", "ce-time", strings.Repeat("0", 65)),
		"a subject of 513 bytes":      bad("is 513 bytes long; at most 512", "ce-replyto", strings.Repeat("s", 513)),
		"percent at the end":          bad("percent-encoded", "ce-reason", "100%"),
		"percent and no digits":       bad("percent-encoded", "ce-reason", "50% off"),
		"not UTF-8":                   bad("UTF-8", "ce-source", "%ff%fe"),
		"not UTF-8 and raw":           bad("UTF-8", "ce-source", "\xff"),
		"no time":                     bad("RFC 3339", "ce-time", "yesterday"),
		"no expiry time":              bad("RFC 3339", "ce-expirytime", "2026-11-21"),
		"negative attempt":            bad("number from 1", "ce-attempt", "-1"),
		"zero attempt":                bad("number from 1", "ce-attempt", "0"),
		"attempt of words":            bad("number from 1", "ce-attempt", "first"),
		"huge attempt":                bad("number from 1", "ce-attempt", "99999999999999999999"),
		"another attempt":             bad("contradicts", "ce-attempt", "2"),
		"another saga":                bad("contradicts", "ce-sagaid", "order-2"),
		"another birth":               bad("contradicts", "ce-birth", "8"),
		"a birth in capitals":         bad("birth", "ce-birth", "A"),
		"a birth of 10 kB":            bad("birth", "ce-birth", strings.Repeat("1", 10<<10)),
		"an empty birth":              bad("birth", "ce-birth", ""),
		"another step":                bad("contradicts", "ce-step", "charge"),
		"another direction":           bad("contradicts", "ce-direction", "undo"),
		"no direction":                bad("neither do nor undo", "ce-direction", "sideways"),
		"a saga id with a space":      bad("saga id", "ce-sagaid", "order%201"),
		"a saga id of 10 kB":          bad("saga id", "ce-sagaid", strings.Repeat("x", 10<<10)),
		"a saga id with a wildcard":   bad("saga id", "ce-sagaid", ">"),
		"an empty saga id":            bad("saga id", "ce-sagaid", ""),
		"a definition with a space":   bad("definition", "ce-definition", "check%20out/1"),
		"a definition version zero":   bad("ce-definition", "ce-definition", "checkout/0"),
		"a wildcard to reply to":      bad("subject", "ce-replyto", "saga.>"),
		"retry in no time":            bad("milliseconds", "ce-retryafterms", "-1"),
		"retry next year":             bad("milliseconds", "ce-retryafterms", "4000000000"),
		"final, perhaps":              bad("ce-final", "ce-final", "maybe"),
		"too few tokens":              {"saga.event.inventory.order-1", right(), "tokens"},
		"too many tokens":             {answer + ".x", right(), "tokens"},
		"no birth":                    {"saga.event.inventory.order-1.reserve.do.1", right(), "tokens"},
		"a birth in the saga's place": {"saga.event.inventory.7.order-1.reserve.do.1", right(), "birth"},
		"a participant in capitals":   {"saga.event.Inventory.order-1.7.reserve.do.1", right(), "participant"},
		"a step in capitals":          {"saga.event.inventory.order-1.7.Reserve.do.1", right(), "step"},
		"words of the server":         {answer, nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, "ce-type"},
		"a heartbeat of the server":   {answer, nats.Header{"Status": {"100"}, "Description": {"Idle Heartbeat"}}, "ce-type"},
	}
}

// Every malformed message is dead-lettered with its bytes, headers, reason and origin. The valid
// messages between them arrive, and none is stuck.
func TestMalformedMessages(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	cases := malformed()
	sent := map[string]nats.Header{}
	for name, c := range cases {
		header := with(nats.Header{"x-case": {name}}, c.header)
		var data []byte // empty, because a status message has no data
		if header["Status"] == nil {
			data = []byte("data of " + name)
		}
		sent[name] = header
		if _, err := jetStream(t, bus).PublishMsg(within(t), &nats.Msg{Subject: c.subject, Header: header, Data: data}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := jetStream(t, bus).PublishMsg(within(t), &nats.Msg{Subject: answer, Header: right()}); err != nil {
		t.Fatal(err)
	}
	await(t, source, "order-1/7/reserve/do/1")
	awaitEmpty(t, bus, transport.StreamEvents)
	list, err := bus.ListDeadLetters(within(t), 0, 1000)
	if err != nil || len(list) != len(cases) {
		t.Errorf("%d dead letters, %v; want %d", len(list), err, len(cases))
	}
	for _, letter := range list {
		name := strings.Join(letter.Header["x-case"], "")
		if size := letter.Header["dead-header-cut"]; size != nil { // truncated headers prevent a replay
			err := bus.ReplayDeadLetter(within(t), letter.Sequence)
			if string(letter.Data) != "data of a saga id of 10 kB" || size[0] != "10327" || err == nil || !strings.Contains(err.Error(), "10327 bytes of headers") {
				t.Errorf("the headers of %q are cut, %s bytes; replay says %v", letter.Data, size, err)
			}
			continue
		}
		want := cases[name]
		if !strings.Contains(letter.Reason, want.reason) || letter.Subject != want.subject || letter.Stream != transport.StreamEvents {
			t.Errorf("%s: on %s of %s because %q; want a reason with %q", name, letter.Subject, letter.Stream, letter.Reason, want.reason)
		}
		if len(letter.Data) > 0 && string(letter.Data) != "data of "+name {
			t.Errorf("%s: data %q", name, letter.Data)
		}
		if diff := cmp.Diff(map[string][]string(sent[name]), letter.Header); diff != "" && name != "an empty saga id" {
			t.Errorf("%s: headers (-sent +kept):\n%s", name, diff)
		}
	}
	if n := bus.Stats().DeadLettered; n != int64(len(cases)) {
		t.Errorf("%d dead letters counted, want %d", n, len(cases))
	}
}

// awaitEmpty waits until a work queue is empty.
func awaitEmpty(t *testing.T, bus *natsbus.Bus, s transport.Stream) {
	t.Helper()
	ctx := within(t)
	for {
		stream, err := jetStream(t, bus).Stream(ctx, bus.StreamName(s))
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return
		}
	}
}

// Decoding accepts header names in any case, repeated unknown headers, a missing specversion, and
// lists.
func TestLenientHeaders(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	header := nats.Header{
		"CE-TYPE": {transport.TypeRejected}, "Ce-Reason": {"50%25%20off, Gr%c3%bc%C3%9Fe ✓"}, "Content-Type": {"text/plain"},
		"baggage": {"a=1", "b=2"}, "Traceparent": {trace}, "Tracestate": {"a=1", "b=2"}, "ce-other": {"x"}, "ce-attempt": {"1"},
	}
	if _, err := jetStream(t, bus).PublishMsg(within(t), &nats.Msg{Subject: answer, Header: header}); err != nil {
		t.Fatal(err)
	}
	batch, err := source.Receive(within(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	got := *batch[0].Envelope()
	want := transport.Envelope{
		Subject: answer, ID: "order-1/7/reserve/do/1", Type: transport.TypeRejected, Reason: "50% off, Grüße ✓", ContentType: "text/plain",
		TraceParent: trace, TraceState: "a=1,b=2", Saga: "order-1", Birth: 7, Step: "reserve", Direction: contract.DirectionDo, Attempt: 1, Data: got.Data,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An answer with an invalid content type is still an answer. An invalid trace context is dropped,
// and a message is never refused because of it.
func TestAnswersThatAreTakenAllTheSame(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	for name, c := range map[string]struct {
		header nats.Header
		want   transport.Envelope
	}{
		"a content type of 60,000 bytes": {nats.Header{"ce-datacontenttype": {strings.Repeat("x", 60_000)}}, transport.Envelope{ContentType: strings.Repeat("x", 60_000)}},
		"no media type":                  {nats.Header{"ce-datacontenttype": {"json;;"}}, transport.Envelope{ContentType: "json;;"}},
		"a content type not in UTF-8":    {nats.Header{"ce-datacontenttype": {"text/plain;x=%FF"}}, transport.Envelope{ContentType: "?"}},
		"one that is not encoded":        {nats.Header{"ce-datacontenttype": {"100%"}, "Content-Type": {"text/plain"}}, transport.Envelope{ContentType: "?"}},
		"a traceparent of 60,000 bytes":  {nats.Header{"traceparent": {strings.Repeat("x", 60_000)}, "tracestate": {"a=1"}}, transport.Envelope{TraceDropped: true}},
		"two traceparents":               {nats.Header{"traceparent": {trace, trace}, "tracestate": {"a=1"}}, transport.Envelope{TraceDropped: true}},
		"a traceparent not in UTF-8":     {nats.Header{"traceparent": {"\xff"}}, transport.Envelope{TraceDropped: true}},
		"a tracestate of 513 bytes":      {nats.Header{"traceparent": {trace}, "tracestate": {strings.Repeat("a", 513)}}, transport.Envelope{TraceParent: trace, TraceDropped: true}},
		"a tracestate with a tab":        {nats.Header{"traceparent": {trace}, "tracestate": {"a=1\tb"}}, transport.Envelope{TraceParent: trace, TraceDropped: true}},
	} {
		if _, err := jetStream(t, bus).PublishMsg(within(t), &nats.Msg{Subject: answer, Header: with(right(), c.header)}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		batch, err := source.Receive(within(t), 1)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := *batch[0].Envelope()
		batch[0].Ack()
		c.want.Subject, c.want.ID, c.want.Type, c.want.Data = answer, "order-1/7/reserve/do/1", transport.TypeCompleted, got.Data
		c.want.Saga, c.want.Birth, c.want.Step, c.want.Direction, c.want.Attempt = "order-1", 7, "reserve", contract.DirectionDo, 1
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The header blocks of this test are sent over a raw connection, because no client library would
// write them.
func TestBrokenHeaderBlocks(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	blocks := []string{
		"NATS/1.0\r\nno colon here\r\n\r\n",
		"NATS/1.0\r\n: no name\r\n\r\n",
		"HTTP/1.1\r\nce-type: x\r\n\r\n",
		"NATS/1.0\r\nce-type",
		"NATS/1.0 503\r\n\r\n",
		"\x00\x01\x02",
	}
	wire := connected(t, server)
	for i, block := range blocks {
		wire.hpub(answer, "", block, fmt.Sprint("block ", i))
	}
	said := wire.flush(t)
	if _, err := jetStream(t, bus).PublishMsg(within(t), &nats.Msg{Subject: answer, Header: right()}); err != nil {
		t.Fatal(err)
	}
	await(t, source, "order-1/7/reserve/do/1")
	awaitEmpty(t, bus, transport.StreamEvents)
	list, err := bus.ListDeadLetters(within(t), 0, 100)
	if err != nil || len(list) != len(blocks) {
		t.Errorf("%d dead letters, %v; want %d (the server said %q)", len(list), err, len(blocks), said)
	}
	for _, letter := range list {
		var i int
		if _, err := fmt.Sscanf(string(letter.Data), "block %d", &i); err != nil {
			t.Fatal(err)
		}
		kept := strings.Join(letter.Header["dead-header-block"], "")
		if plain, err := url.PathUnescape(kept); i != 1 && i != 4 && (err != nil || plain != blocks[i]) { // 1 and 4 parse
			t.Errorf("block %d: kept %q, %v; want %q", i, plain, err, blocks[i])
		}
	}
}
