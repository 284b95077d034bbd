package server_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
)

// TestBadInputOnTheWire checks I9 for the whole process with raw messages. Every invalid request
// gets an error, every invalid answer becomes a dead letter with a reason, and other sagas
// complete.
func TestBadInputOnTheWire(t *testing.T) {
	def, err := saga.ParseJSON([]byte(`{"name":"cake","version":1,"input":{"id":"string"},"steps":[
		{"step":{"name":"bake","kind":"compensable","do":{"participant":"oven","action":"bake","result":{"shelf":"string"}},"undo":{"participant":"oven","action":"eat"}}},
		{"step":{"name":"ship","kind":"pivot","do":{"participant":"courier","action":"ship","with":"{\"id\": input.id, \"shelf\": result.bake.shelf}"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{def}})
	w := newWire(t, r.NATS)
	w.asks("start", `{"id":"e1"}`, "", "ce-sagaid", "e1", "ce-definition", "cake")
	badRequests(w)
	e1 := "e1." + w.birth("e1")
	badAnswers(w, e1)
	w.dead(map[string]int{
		"saga nobody: no such saga": 1, "the saga with this id was started": 1, "birth \"E1\"": 1, "not waiting in this direction": 1, "a participant that does not own this step": 1, "no such step": 1, `direction "sideways"`: 1, `attempt "x"`: 1,
		"attempt not sent yet": 1, "instead of 6": 1, `ce-type ""`: 1, `ce-type "done"`: 1, "more than once": 1, "contradicts the subject": 1,
		"structured": 1, "not percent-encoded": 1, "characters long": 1,
	})
	w.answers("saga.event.oven."+e1+".bake.do.1", `{"shelf":"A"}`, "ce-type", transport.TypeCompleted)
	w.answers("saga.event.courier."+e1+".ship.do.1", ``, "ce-type", transport.TypeCompleted)
	w.asks("wait", `{"id":"e1","timeout":"60s"}`, `"phase":"completed"`)
}

// badRequests sends a caller's invalid requests.
func badRequests(w *wire) {
	const ok = `{"id":"e1"}`
	cake := func(id string, more ...string) []string {
		return append([]string{"ce-sagaid", id, "ce-definition", "cake"}, more...)
	}
	w.asks("start", `{"id":"another"}`, "already_exists", cake("e1")...)
	w.asks("start", ok, "more than once", cake("e2", "ce-sagaid", "e3")...)
	w.asks("start", ok, "in different letter case", cake("e2", "Ce-Sagaid", "e3")...)
	w.asks("start", ok, "not percent-encoded", cake("e%ZZ")...)
	w.asks("start", ok, "structured", cake("e2", "Content-Type", "application/cloudevents+json")...)
	w.asks("start", ok, "not a media type", cake("e2", "ce-datacontenttype", "///")...)
	w.asks("start", `id=e1`, "not JSON", cake("e2", "ce-datacontenttype", "text/plain")...)
	w.asks("start", ok, "a request has the type", cake("e2", "ce-type", "x")...)
	w.asks("start", `{`, "not valid JSON", cake("e2")...)
	w.asks("start", ``, "not valid JSON", cake("e2")...)
	w.asks("start", `{"id":1}`, "id is a number, want string", cake("e2")...)
	w.asks("start", `"`+strings.Repeat("x", contract.MaxPayload)+`"`, "MaxPayload", cake("e2")...)
	w.asks("start", ok, "not registered", "ce-sagaid", "e2", "ce-definition", "nothing")
	w.asks("start", ok, "not version 9", "ce-sagaid", "e2", "ce-definition", "cake/9")
	w.asks("start", ok, "version from 1", "ce-sagaid", "e2", "ce-definition", "cake/x")
	for _, id := range []string{"a b", "a%20b", "a.b", "*", ">", "", "a%00", "a%1Fb", "%C3%A9", strings.Repeat("x", 10<<10)} {
		w.asks("start", ok, "invalid_argument", cake(id)...)
		w.asks("get", idJSON(id), "1 to 128 characters")
	}
	for _, method := range []string{"get", "wait", "history"} {
		w.asks(method, idJSON("nobody"), "no such saga")
	}
	w.asks("operate", `{"id":"e1","decision":{"operation":"explode","by":"kim","reason":"x"}}`, "no such operation")
	w.asks("lst", `{}`, `there is no request "lst"; use one of: `)
	w.asks("list", `[]`, "is a JSON array; write an object")
	w.asks("list", `{"limit":"ten"}`, "limit: is a JSON string; write a whole number")
	w.asks("list", `{"limit":4111111111.5}`, "limit: is a JSON number; write a whole number")
	w.asks("list", `{"limits":10}`, `limits: is unknown`)
	w.asks("list", `{"limit":`, "the JSON ends in the middle")
	w.asks("list", `{"limit":4294967297}`, `"field":"limit"`)
	w.asks("list", `{"filter":{"started_after":"2026-11-30T12:00:00Z"}}`, `filter.started_after: is unknown`)
	w.asks("wait", `{"id":"e1","timeout":30}`, `"field":"timeout"`)
	w.asks("register-definition", `{"source":"{"}`, "unexpected end of JSON")
	w.asks("register-definition", `{"source":"{\"name\":\"cake\",\"version\":1,\"steps\":[{\"step\":{\"name\":\"a\",\"kind\":\"retriable\",\"do\":{\"participant\":\"p\",\"action\":\"a\"}}}]}"}`, "new version")
}

// badAnswers publishes a participant's invalid answers. e1 holds the subject tokens of a saga.
func badAnswers(w *wire, e1 string) {
	done := []string{"ce-type", transport.TypeCompleted}
	bake := "saga.event.oven." + e1 + ".bake.do.1"
	w.answers("saga.event.oven.nobody.7.bake.do.1", `{}`, done...)
	w.answers("saga.event.oven.e1.7.bake.do.1", `{}`, done...)
	w.answers("saga.event.oven.e1.E1.bake.do.1", `{}`, done...)
	w.answers("saga.event.courier."+e1+".ship.do.1", `{}`, done...)
	w.answers("saga.event.courier."+e1+".bake.do.1", `{"shelf":"stolen"}`, done...)
	w.answers("saga.event.oven."+e1+".burn.do.1", `{}`, done...)
	w.answers("saga.event.oven."+e1+".bake.sideways.1", `{}`, done...)
	w.answers("saga.event.oven."+e1+".bake.do.x", `{}`, done...)
	w.answers("saga.event.oven."+e1+".bake.do.99", `{}`, done...)
	w.answers("saga.event.oven", `{}`, done...)
	w.answers(bake, `{}`)
	w.answers(bake, `{}`, "ce-type", "done")
	w.answers(bake, `{}`, append(done, done...)...)
	w.answers(bake, `{}`, append(done, "ce-step", "ship")...)
	w.answers(bake, `{}`, "Content-Type", "application/cloudevents+json")
	w.answers(bake, `{}`, append(done, "ce-reason", "100%")...)
	w.answers("saga.event.oven."+strings.Repeat("x", 3000)+".7.bake.do.1", `{}`, done...)
}

// wire talks to a coordinator with a plain NATS client.
type wire struct {
	t    *testing.T
	conn *nats.Conn
	js   jetstream.JetStream
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	conn, err := natstest.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return &wire{t, conn, js}
}

func headers(pairs []string) nats.Header {
	h := nats.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

// asks sends a request, and expects words in the code, reason or data of the reply. If want is "",
// it expects that the request is accepted.
func (w *wire) asks(method, data, want string, header ...string) {
	w.t.Helper()
	reply, err := w.conn.RequestMsg(&nats.Msg{Subject: "saga.api." + method, Header: headers(header), Data: []byte(data)}, limit)
	if err != nil {
		w.t.Fatalf("%s %.60v: %v", method, header, err)
	}
	code := strings.Join(reply.Header["ce-code"], "")
	reason, err := url.PathUnescape(strings.Join(reply.Header["ce-reason"], ""))
	if err != nil {
		w.t.Fatal(err)
	}
	said := code + " " + reason + " " + string(reply.Data)
	if want == "" && code != "" || !strings.Contains(said, want) {
		w.t.Errorf("%s %.80q with %.60v answers %.300q, which does not say %q", method, data, header, said, want)
	}
}

// idJSON returns a request about one saga.
func idJSON(id string) string {
	data, err := json.Marshal(map[string]string{"id": id})
	if err != nil {
		panic(err) // cannot happen: it is a string
	}
	return string(data)
}

// birth returns the birth of a saga, which the subjects of its answers contain.
func (w *wire) birth(id string) string {
	w.t.Helper()
	reply, err := w.conn.RequestMsg(&nats.Msg{Subject: "saga.api.get", Data: []byte(idJSON(id))}, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	var r api.GetResponse
	if err := json.Unmarshal(reply.Data, &r); err != nil || r.Saga == nil || r.Saga.Birth == 0 {
		w.t.Fatalf("saga %s: %v: %s", id, err, reply.Data)
	}
	return r.Saga.Birth.String()
}

// answers publishes an answer like a participant, and waits for the acknowledgement.
func (w *wire) answers(subject, data string, header ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	if _, err := w.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: headers(header), Data: []byte(data)}); err != nil {
		w.t.Fatalf("publish on %.60s: %v", subject, err)
	}
}

// dead reads the expected number of dead letters, and counts them by words in their reasons.
func (w *wire) dead(want map[string]int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	consumer, err := w.js.OrderedConsumer(ctx, "SAGA_DEAD", jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	for range want {
		m, err := consumer.Next(jetstream.FetchMaxWait(limit))
		if err != nil {
			break // missing ones are reported below
		}
		reason, err := url.PathUnescape(m.Headers().Get("ce-reason"))
		if err != nil {
			w.t.Fatal(err)
		}
		known := false
		for words := range want {
			if strings.Contains(reason, words) {
				want[words]--
				known = true
			}
		}
		if !known {
			w.t.Errorf("a dead letter that nobody expects: %s", reason)
		}
	}
	for words, missing := range want {
		if missing != 0 {
			w.t.Errorf("%d dead letters too few say %q", missing, words)
		}
	}
}
