package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// asked is one request of TestCarriersAgree, with the expected code of its refusal.
type asked struct {
	method  string
	request transport.Envelope
	query   any // a pointer; nil if there is none
	code    transport.Code
}

func requests(now time.Time) []asked {
	const source = "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"
	tea, one := contract.DefinitionRef{Name: "tea"}, transport.Envelope{Saga: "one"}
	nothing, filter := transport.Envelope{}, transport.Filter{Open: true}
	pause := transport.Decision{Operation: contract.OperationPause, By: "kim", Reason: "why", Result: nil}
	return []asked{
		{transport.APICheckDefinition, transport.Envelope{Data: []byte(source)}, nil, ""},
		{transport.APICheckDefinition, transport.Envelope{Data: []byte("name: Tea")}, nil, transport.CodeInvalidArgument},
		{transport.APIDefine, transport.Envelope{Data: []byte(source)}, nil, ""},
		{transport.APIDefine, transport.Envelope{Data: []byte(source + "deadline: 1m\n")}, nil, transport.CodeAlreadyExists},
		{transport.APIDefinitions, nothing, nil, ""},
		{transport.APIDefinition, transport.Envelope{Definition: tea}, nil, ""},
		{transport.APIDefinition, transport.Envelope{Definition: contract.DefinitionRef{Name: "coffee"}}, nil, transport.CodeNotFound},
		{transport.APICompareDefinitions, nothing, &transport.CompareQuery{From: tea, To: tea}, ""},
		{transport.APICompareDefinitions, nothing, &transport.CompareQuery{From: tea}, transport.CodeInvalidArgument},
		{transport.APIStart, transport.Envelope{Saga: "one", Definition: tea, Data: []byte(`{"cups":12345678901234567890}`)}, nil, ""},
		{transport.APIStart, transport.Envelope{Saga: "one", Definition: tea, Data: []byte(`{"cups":3}`)}, nil, transport.CodeAlreadyExists},
		{transport.APIStart, transport.Envelope{Saga: "two"}, nil, transport.CodeInvalidArgument},
		{transport.APIRun, transport.Envelope{Saga: "two", Definition: tea, Data: []byte(`<&>`), ContentType: "text/plain", Expires: now}, nil, ""},
		{transport.APIRun, transport.Envelope{Saga: "no good", Definition: tea, Expires: now}, nil, transport.CodeInvalidArgument},
		{transport.APIGet, one, nil, ""},
		{transport.APIGet, transport.Envelope{Saga: "three"}, nil, transport.CodeNotFound},
		{transport.APIWait, transport.Envelope{Saga: "one", Expires: now}, &transport.WaitQuery{Brief: true}, ""},
		{transport.APIWait, transport.Envelope{Saga: "three", Expires: now}, &transport.WaitQuery{}, transport.CodeNotFound},
		{transport.APIHistory, one, &transport.HistoryQuery{WithSaga: true}, ""},
		{transport.APIHistory, one, &transport.HistoryQuery{Limit: -1}, transport.CodeInvalidArgument},
		{transport.APIList, nothing, &transport.ListQuery{Filter: filter, Limit: 1}, ""},
		{transport.APIList, nothing, &transport.ListQuery{Cursor: "?"}, transport.CodeInvalidArgument},
		{transport.APICount, nothing, &filter, ""},
		{transport.APICount, nothing, &transport.Filter{Phases: []contract.Phase{"lost"}}, transport.CodeInvalidArgument},
		{transport.APIWatch, transport.Envelope{Expires: now}, &transport.WatchQuery{After: "0-0"}, ""},
		{transport.APIWatch, nothing, &transport.WatchQuery{After: "yesterday"}, transport.CodeInvalidArgument},
		{transport.APIOperate, one, &pause, ""},
		{transport.APIOperate, one, &transport.Decision{Operation: contract.OperationSkip, By: "kim", Reason: "why"}, transport.CodeFailedPrecondition},
		{transport.APIOperate, one, &transport.Decision{Operation: contract.OperationResume, By: "kim", Reason: "why", ExpectedRevision: 1}, transport.CodeFailedPrecondition},
		{transport.APIOperateAll, nothing, &transport.OperateAllQuery{Filter: filter, Decision: pause, DryRun: true}, ""},
		{transport.APIOperateAll, nothing, &transport.OperateAllQuery{Decision: pause}, transport.CodeInvalidArgument},
		{transport.APIOrphans, nothing, &transport.OrphansQuery{Keys: []string{"four/hod85snpc0/brew/do"}}, ""},
		{transport.APIOrphans, nothing, &transport.OrphansQuery{}, transport.CodeInvalidArgument},
		{transport.APIDeadLetters, nothing, &transport.DeadLettersQuery{}, ""},
		{transport.APIDeadLetters, nothing, &transport.DeadLettersQuery{Limit: -1}, transport.CodeInvalidArgument},
		{transport.APIReplayDeadLetters, nothing, &transport.DeadLettersRequest{Sequences: []uint64{7}}, ""},
		{transport.APIReplayDeadLetters, nothing, &transport.DeadLettersRequest{}, transport.CodeInvalidArgument},
		{transport.APIDiscardDeadLetters, nothing, &transport.DeadLettersRequest{Sequences: []uint64{7}}, ""},
		{transport.APIDiscardDeadLetters, nothing, &transport.DeadLettersRequest{}, transport.CodeInvalidArgument},
		{transport.APIPurgeDeadLetters, nothing, &transport.PurgeDeadLettersRequest{All: true, DryRun: true}, ""},
		{transport.APIPurgeDeadLetters, nothing, &transport.PurgeDeadLettersRequest{}, transport.CodeInvalidArgument},
		{transport.APIRemoveDamaged, one, &transport.RemoveDamagedRequest{By: "kim", Reason: "why"}, transport.CodeFailedPrecondition},
		{transport.APIParticipants, nothing, nil, ""},
		{transport.APIOverview, nothing, nil, ""},
		{"gess", nothing, nil, transport.CodeInvalidArgument},
	}
}

// ofThisProcess matches output that differs between two coordinators.
var ofThisProcess = regexp.MustCompile(`"position":"[^"]*"|"p\d\d_seconds":[^,}]*`)

// TestCarriersAgree checks that each request gets the same answer or refusal as JSON (over NATS)
// and typed (over HTTP). Two coordinators with the same clock get the same requests. The test fails
// if a method has no request here, or no refused request.
func TestCarriersAgree(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	overNATS, overHTTP := stopped(t, now), stopped(t, now)
	served, refusedToo := map[string]bool{}, map[string]bool{}
	for _, a := range requests(now) {
		served[a.method] = true
		refusedToo[a.method] = refusedToo[a.method] || a.code != ""
		asJSON, asItIs := a.request, a.request
		if a.query != nil {
			data, err := contract.EncodeJSON(a.query)
			if err != nil {
				t.Fatal(err)
			}
			asJSON.Data = data
		}
		one := overNATS.Handle(t.Context(), a.method, &asJSON)
		answer, err := overHTTP.Serve(t.Context(), a.method, &asItIs, a.query)
		two := respond(answer, nil)
		if refusal, ok := errors.AsType[*transport.RequestError](err); ok {
			two = envelopeOf(refusal)
		}
		for _, e := range []*transport.Envelope{one, two} {
			e.Data = ofThisProcess.ReplaceAll(e.Data, nil)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Errorf("%s %s: as JSON -, as it is +\n%s", a.method, asJSON.Data, diff)
		}
		if one.Code != string(a.code) {
			t.Errorf("%s %s answers %q %s, want code %q", a.method, asJSON.Data, one.Code, one.Reason, a.code)
		}
	}
	for name := range overNATS.service.byName {
		if !served[name] || !refusedToo[name] && !never[name] {
			t.Errorf("%s is asked: %t, and refused: %t", name, served[name], refusedToo[name])
		}
	}
}

// never lists the methods that refuse no request.
var never = map[string]bool{transport.APIDefinitions: true, transport.APIParticipants: true, transport.APIOverview: true}

// stopped returns a running coordinator with a constant clock.
func stopped(t *testing.T, now time.Time) *Coordinator {
	t.Helper()
	bus := membus.New(membus.Options{Retain: 10})
	c, err := New(Config{Store: memstore.New(), Bus: bus, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return now }, Secret: []byte("secret")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		bus.Close()
	})
	<-c.Started()
	return c
}

// TestServeWantsItsQuery checks that a typed request must have the query type of its method.
func TestServeWantsItsQuery(t *testing.T) {
	c := stopped(t, time.Unix(1, 0))
	if _, err := c.Serve(t.Context(), transport.APIList, &transport.Envelope{}, &machine.Event{}); !isInternal(err) {
		t.Errorf("a query of another type: %v", err)
	}
	if _, err := c.Serve(t.Context(), transport.APIList, &transport.Envelope{}, nil); err != nil {
		t.Errorf("no query: %v", err)
	}
}

func isInternal(err error) bool {
	r, ok := errors.AsType[*transport.RequestError](err)
	return ok && r.Code == transport.CodeInternal
}
