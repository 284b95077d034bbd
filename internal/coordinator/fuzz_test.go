package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

var apiMethods = []string{
	api.MethodStart, api.MethodGet, api.MethodWait, api.MethodOperate,
	api.MethodList, api.MethodHistory, api.MethodRegisterDefinition, api.MethodListDefinitions, api.MethodRun, api.MethodFindOrphans, api.MethodPoll,
}

// callersFault lists the codes of refusals that may occur without a fault in the coordinator.
// CodeInternal is not among them.
var callersFault = map[api.Code]bool{
	"": true, api.CodeInvalidArgument: true, api.CodeNotFound: true, api.CodeAlreadyExists: true,
	api.CodeFailedPrecondition: true, api.CodeResourceExhausted: true,
}

// FuzzRequest sends arbitrary requests to a running coordinator. Each is answered within a second,
// either with JSON or with a code from callersFault and a bounded reason. The next caller is served
// normally (I9).
func FuzzRequest(f *testing.F) {
	f.Add(uint8(0), "order-1", "checkout", 1, []byte(`{"sku":"A"}`))
	f.Add(uint8(0), "order-1", "checkout", 0, []byte(`{"sku":"B"}`))
	f.Add(uint8(1), "", "", 0, []byte(`{"id":"order-1"}`))
	f.Add(uint8(2), "", "", 0, []byte(`{"id":"order-2","timeout":"0.000000001s"}`))
	f.Add(uint8(2), "", "", 0, []byte(`{"id":"known"}`))
	f.Add(uint8(10), "", "", 0, []byte(`{"id":"order-1"}`))
	f.Add(uint8(3), "", "", 0, []byte(`{"id":"known","decision":{"operation":"resolve","step":"reserve","by":"ada","reason":"r","outcome":"completed","result":{"shelf":7}}}`))
	f.Add(uint8(3), "", "", 0, []byte(`{"id":"known","decision":{"operation":"cancel","by":"ada","reason":"r"}}`))
	f.Add(uint8(3), "", "", 0, []byte(`{"id":"known","decision":{"operation":"retry","unknown":1}}`))
	f.Add(uint8(4), "", "", 0, []byte(`{"filter":{"phases":["running"],"idPrefix":"k","open":true},"limit":5,"cursor":"AQ"}`))
	f.Add(uint8(5), "", "", 0, []byte(`{"id":"known","fromRevision":18446744073709551615,"limit":1000}`))
	f.Add(uint8(6), "", "", 0, []byte(`{"source":"{\"name\":\"x\",\"version\":1,\"steps\":[{\"parallel\":[{\"step\":null}]}]}","dryRun":true}`))
	f.Add(uint8(10), "", "", 0, []byte(`{"filter":{"definition":{"name":"checkout","version":-1}},"timeout":"0s"}`))
	f.Add(uint8(7), "", "", 0, []byte(`[`))
	f.Add(uint8(8), "order-3", "checkout", 1, []byte(`{"sku":"A"}`))
	f.Add(uint8(9), "", "", 0, []byte(`{"keys":["known/hod85snpc0/reserve/do","known/1/reserve/undo"]}`))
	c := alone(f)
	f.Fuzz(func(t *testing.T, method uint8, id, definition string, version int, data []byte) {
		name := apiMethods[int(method)%len(apiMethods)]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if name == api.MethodWait || name == api.MethodPoll {
			data = impatient(data)
		}
		request := &transport.Envelope{
			Saga: contract.SagaID(id), Definition: contract.DefinitionRef{Name: definition, Version: version}, Data: data, Expires: time.Now(),
		}
		answer(ctx, t, c, name, request)
		known := answer(ctx, t, c, api.MethodGet, &transport.Envelope{Data: []byte(`{"id":"known"}`)})
		if known.Code == string(api.CodeNotFound) { // a request or a timeout has ended it, and it was removed
			known = answer(ctx, t, c, api.MethodStart, startKnown())
		}
		if known.Code != "" && known.Code != string(api.CodeResourceExhausted) {
			t.Errorf("afterwards the saga that was there answers %s: %s", known.Code, known.Reason)
		}
	})
}

// impatient returns a request whose timeout is 1 ms if it was valid but longer, or if there was none.
// Anything else is returned unchanged. A coordinator may hold a valid request until its timeout, and
// FuzzRequest gives up earlier.
func impatient(data []byte) []byte {
	if len(data) == 0 {
		data = []byte(`{}`) // the same request
	}
	var request map[string]json.RawMessage
	if err := json.Unmarshal(data, &request); err != nil || request == nil {
		return data
	}
	if given, ok := request["timeout"]; ok {
		var timeout *api.Duration
		if err := json.Unmarshal(given, &timeout); err != nil || timeout.Or(time.Hour) < time.Millisecond {
			return data
		}
	}
	request["timeout"] = json.RawMessage(`"0.001s"`)
	changed, err := json.Marshal(request)
	if err != nil {
		return data
	}
	return changed
}

func startKnown() *transport.Envelope {
	return &transport.Envelope{Saga: "known", Definition: checkout.Ref(), Data: []byte(`{"sku":"A"}`)}
}

// alone returns a coordinator with one saga, called known, and no participants.
func alone(f *testing.F) *coordinator.Coordinator {
	f.Helper()
	bus := membus.New(membus.Options{Retain: 10})
	c, err := coordinator.New(coordinator.Config{
		Store: memstore.New(), Bus: bus, Definitions: []*saga.Definition{checkout},
		Logger: slog.New(slog.DiscardHandler), MaxOpen: 1000, Retention: time.Second, TombstoneRetention: 2 * time.Second,
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	select {
	case <-c.Started():
	case err := <-done:
		f.Fatal(err)
	}
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
		bus.Close()
	})
	if reply := c.Handle(ctx, api.MethodStart, startKnown()); reply.Code != "" {
		f.Fatalf("start: %s: %s", reply.Code, reply.Reason)
	}
	return c
}

func answer(ctx context.Context, t *testing.T, c *coordinator.Coordinator, method string, request *transport.Envelope) *transport.Envelope {
	t.Helper()
	reply := c.Handle(ctx, method, request)
	if !callersFault[api.Code(reply.Code)] {
		t.Fatalf("%s of %q answers %s: %s", method, request.Data, reply.Code, reply.Reason)
	}
	if reply.Code == "" && !json.Valid(reply.Data) {
		t.Errorf("%s answers what is no JSON: %q", method, reply.Data)
	}
	if reply.Code != "" && (reply.Reason == "" || len(reply.Reason) > 200_000) {
		t.Errorf("%s is refused with %s and a reason of %d bytes", method, reply.Code, len(reply.Reason))
	}
	return reply
}

// FuzzReadAnswer checks that any message on the events stream is either an answer for the saga,
// step and attempt in its subject, or a dead letter of a known class.
func FuzzReadAnswer(f *testing.F) {
	f.Add("saga.event.stock.order-1.7.reserve.do.1", transport.TypeCompleted, "", []byte(`{"shelf":"A"}`))
	f.Add("saga.event.stock.order-1.7.reserve.undo.2", transport.TypeFailed, "closed", []byte("why"))
	f.Add("saga.event.stock", "x", "", []byte{})
	classes := map[string]bool{coordinator.DeadLetterSubject: true, coordinator.DeadLetterType: true, coordinator.DeadLetterOversize: true}
	f.Fuzz(func(t *testing.T, subject, kind, reason string, data []byte) {
		e := &transport.Envelope{Subject: subject, Type: kind, Reason: reason, Data: data}
		input, class, err := coordinator.ReadAnswer(transport.Subjects{}, e, time.Unix(1, 0))
		if (err != nil) != classes[class] {
			t.Fatalf("class %q with %v", class, err)
		}
		if err != nil {
			return
		}
		ev := input.Event
		key := contract.Key{Saga: input.Saga, Birth: input.Birth, Step: ev.Step, Direction: ev.Direction}
		p, k, attempt, err := transport.Subjects{}.ParseEvent(subject)
		if err != nil || p != ev.Participant || k != key || attempt != ev.Attempt || len(ev.Reason) > 2*contract.MaxReason {
			t.Errorf("%q is read as %s", subject, fmt.Sprint(input))
		}
	})
}
