package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// asked is one request of TestCarriersAgree, with the expected code of its refusal.
type asked struct {
	method  string
	request any
	code    api.Code
}

func requests() []asked {
	const source = "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"
	tea, filter, soon := contract.DefinitionRef{Name: "tea"}, api.Filter{Open: true}, api.For(0)
	pause := api.Decision{Operation: contract.OperationPause, By: "kim", Reason: "why"}
	skip, resume := pause, pause
	skip.Operation, resume.Operation = contract.OperationSkip, contract.OperationResume
	return []asked{
		{api.MethodRegisterDefinition, &api.RegisterDefinitionRequest{Source: source, DryRun: true}, ""},
		{api.MethodRegisterDefinition, &api.RegisterDefinitionRequest{Source: "name: Tea", DryRun: true}, api.CodeInvalidArgument},
		{api.MethodRegisterDefinition, &api.RegisterDefinitionRequest{Source: source}, ""},
		{api.MethodRegisterDefinition, &api.RegisterDefinitionRequest{Source: source + "deadline: 1m\n"}, api.CodeAlreadyExists},
		{api.MethodListDefinitions, &api.ListDefinitionsRequest{}, ""},
		{api.MethodListDefinitions, &api.ListDefinitionsRequest{Name: "coffee"}, ""},
		{api.MethodGetDefinition, &api.GetDefinitionRequest{Definition: tea}, ""},
		{api.MethodGetDefinition, &api.GetDefinitionRequest{Definition: contract.DefinitionRef{Name: "coffee"}}, api.CodeNotFound},
		{api.MethodGetDefinition, &api.GetDefinitionRequest{Definition: contract.DefinitionRef{Name: "tea", Version: -1}}, api.CodeInvalidArgument},
		{api.MethodCompareDefinitions, &api.CompareDefinitionsRequest{From: tea, To: tea}, ""},
		{api.MethodCompareDefinitions, &api.CompareDefinitionsRequest{From: tea}, api.CodeInvalidArgument},
		{api.MethodStart, &api.StartRequest{ID: "one", Definition: tea, Input: []byte(`{"cups":12345678901234567890}`)}, ""},
		{api.MethodStart, &api.StartRequest{ID: "one", Definition: tea, Input: []byte(`{"cups":3}`)}, api.CodeAlreadyExists},
		{api.MethodStart, &api.StartRequest{ID: "two"}, api.CodeInvalidArgument},
		{api.MethodRun, &api.RunRequest{ID: "two", Definition: tea, InputBinary: []byte(`<&>`), ContentType: "text/plain", Timeout: soon}, ""},
		{api.MethodRun, &api.RunRequest{ID: "no good", Definition: tea, Timeout: soon}, api.CodeInvalidArgument},
		{api.MethodGet, &api.GetRequest{ID: "one"}, ""},
		{api.MethodGet, &api.GetRequest{ID: "three"}, api.CodeNotFound},
		{api.MethodWait, &api.WaitRequest{ID: "one", Brief: true, Timeout: soon}, ""},
		{api.MethodWait, &api.WaitRequest{ID: "three", Timeout: soon}, api.CodeNotFound},
		{api.MethodWait, &api.WaitRequest{ID: "one", Timeout: api.For(-1)}, api.CodeInvalidArgument},
		{api.MethodPoll, &api.PollRequest{Timeout: api.For(-1)}, api.CodeInvalidArgument},
		{api.MethodHistory, &api.HistoryRequest{ID: "one", WithSaga: true}, ""},
		{api.MethodHistory, &api.HistoryRequest{ID: "one", Limit: -1}, api.CodeInvalidArgument},
		{api.MethodList, &api.ListRequest{Filter: filter, Limit: 1}, ""},
		{api.MethodList, &api.ListRequest{Cursor: "?"}, api.CodeInvalidArgument},
		{api.MethodCount, &api.CountRequest{Filter: filter}, ""},
		{api.MethodCount, &api.CountRequest{Filter: api.Filter{Phases: []contract.Phase{"lost"}}}, api.CodeInvalidArgument},
		{api.MethodPoll, &api.PollRequest{Position: "0-0", Timeout: soon}, ""},
		{api.MethodPoll, &api.PollRequest{Position: "yesterday"}, api.CodeInvalidArgument},
		{api.MethodPoll, &api.PollRequest{ID: "one", Filter: filter}, api.CodeInvalidArgument},
		{api.MethodOperate, &api.OperateRequest{ID: "one", Decision: pause}, ""},
		{api.MethodOperate, &api.OperateRequest{ID: "one"}, api.CodeInvalidArgument},
		{api.MethodOperate, &api.OperateRequest{ID: "one", Decision: skip}, api.CodeFailedPrecondition},
		{api.MethodOperate, &api.OperateRequest{ID: "one", Decision: resume, ExpectedRevision: 1}, api.CodeFailedPrecondition},
		{api.MethodOperatePage, &api.OperatePageRequest{Filter: filter, Decision: pause, DryRun: true}, ""},
		{api.MethodOperatePage, &api.OperatePageRequest{Decision: pause}, api.CodeInvalidArgument},
		{api.MethodFindOrphans, &api.FindOrphansRequest{Keys: []string{"four/hod85snpc0/brew/do"}}, ""},
		{api.MethodFindOrphans, &api.FindOrphansRequest{}, api.CodeInvalidArgument},
		{api.MethodListDeadLetters, &api.ListDeadLettersRequest{}, ""},
		{api.MethodListDeadLetters, &api.ListDeadLettersRequest{Limit: -1}, api.CodeInvalidArgument},
		{api.MethodReplayDeadLetters, &api.ReplayDeadLettersRequest{Sequences: []uint64{7}}, ""},
		{api.MethodReplayDeadLetters, &api.ReplayDeadLettersRequest{}, api.CodeInvalidArgument},
		{api.MethodDiscardDeadLetters, &api.DiscardDeadLettersRequest{Sequences: []uint64{7}}, ""},
		{api.MethodDiscardDeadLetters, &api.DiscardDeadLettersRequest{}, api.CodeInvalidArgument},
		{api.MethodPurgeDeadLetters, &api.PurgeDeadLettersRequest{All: true, DryRun: true}, ""},
		{api.MethodPurgeDeadLetters, &api.PurgeDeadLettersRequest{}, api.CodeInvalidArgument},
		{api.MethodPurgeDeadLetters, &api.PurgeDeadLettersRequest{OlderThan: soon}, api.CodeInvalidArgument},
		{api.MethodRemoveDamaged, &api.RemoveDamagedRequest{ID: "one", By: "kim", Reason: "why"}, api.CodeFailedPrecondition},
		{api.MethodListParticipants, &api.ListParticipantsRequest{}, ""},
		{api.MethodGetOverview, &api.GetOverviewRequest{}, ""},
		{"gess", &api.GetRequest{}, api.CodeInvalidArgument},
	}
}

// onNATS returns a request as it is sent over NATS: start and run in binary mode, others as JSON.
func onNATS(t *testing.T, request any, now time.Time) *transport.Envelope {
	t.Helper()
	switch q := request.(type) {
	case *api.StartRequest:
		return &transport.Envelope{Saga: q.ID, Definition: q.Definition, ContentType: q.ContentType, Data: append(q.Input, q.InputBinary...)}
	case *api.RunRequest:
		return &transport.Envelope{
			Saga: q.ID, Definition: q.Definition, ContentType: q.ContentType, Data: append(q.Input, q.InputBinary...), Expires: now.Add(q.Timeout.Or(0)),
		}
	}
	data, err := contract.EncodeJSON(request)
	if err != nil {
		t.Fatal(err)
	}
	return &transport.Envelope{Data: data}
}

// ofThisProcess matches output that differs between two coordinators, such as how much the bus has
// accepted so far.
var ofThisProcess = regexp.MustCompile(`"position":"[^"]*"|"p\d\dSeconds":[^,}]*|"outbox(OldestSeconds)?":[^,}]*,?`)

// TestCarriersAgree checks that each request gets the same response or refusal as over NATS and
// typed (over HTTP). Two coordinators with the same clock get the same requests. The test fails if
// a method has no request here, or no refused request.
func TestCarriersAgree(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	overNATS, overHTTP := stopped(t, now), stopped(t, now)
	served, refusedToo := map[string]bool{}, map[string]bool{}
	for _, a := range requests() {
		served[a.method] = true
		refusedToo[a.method] = refusedToo[a.method] || a.code != ""
		sent := onNATS(t, a.request, now)
		one := overNATS.Handle(t.Context(), a.method, sent)
		answer, err := overHTTP.Serve(t.Context(), a.method, &transport.Envelope{}, a.request)
		two := respond(answer, nil)
		if refusal, ok := errors.AsType[*api.Error](err); ok {
			two = envelopeOf(refusal)
		}
		for _, e := range []*transport.Envelope{one, two} {
			e.Data = ofThisProcess.ReplaceAll(e.Data, nil)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Errorf("%s %s: on NATS -, typed +\n%s", a.method, sent.Data, diff)
		}
		if one.Code != string(a.code) {
			t.Errorf("%s %s answers %q %s, want code %q", a.method, sent.Data, one.Code, one.Reason, a.code)
		}
	}
	for name := range overNATS.service.byName {
		if !served[name] || !refusedToo[name] && !never[name] {
			t.Errorf("%s is asked: %t, and refused: %t", name, served[name], refusedToo[name])
		}
	}
}

// TestMethodsAreTheContract checks that there is a method for each request of the contract that is
// no stream, with the types of the contract.
func TestMethodsAreTheContract(t *testing.T) {
	c := stopped(t, time.Unix(1, 0))
	service := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService")
	methods := map[string]bool{}
	for i := range service.Methods().Len() {
		d := service.Methods().Get(i)
		if d.IsStreamingServer() {
			continue
		}
		name := strings.ToLower(capitals.ReplaceAllString(string(d.Name()), "$1-$2"))
		methods[name] = true
		m, ok := c.service.byName[name]
		if !ok {
			t.Errorf("there is no method %s", name)
			continue
		}
		if have := reflect.TypeOf(m.request()).Elem().Name(); have != string(d.Input().Name()) {
			t.Errorf("%s takes %s, not %s", name, have, d.Input().Name())
		}
	}
	for name := range c.service.byName {
		if !methods[name] {
			t.Errorf("%s is not in the contract", name)
		}
	}
	for _, a := range requests() {
		if a.code != "" {
			continue
		}
		answer, err := c.Serve(t.Context(), a.method, &transport.Envelope{}, a.request)
		if want := strings.TrimSuffix(reflect.TypeOf(a.request).Elem().Name(), "Request") + "Response"; err != nil || reflect.TypeOf(answer).Elem().Name() != want {
			t.Errorf("%s answers %T, %v, not %s", a.method, answer, err, want)
		}
	}
}

// capitals matches the beginnings of the words in a method's name.
var capitals = regexp.MustCompile(`([a-z])([A-Z])`)

// never lists the methods that refuse no request.
var never = map[string]bool{api.MethodListDefinitions: true, api.MethodListParticipants: true, api.MethodGetOverview: true}

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

// TestServeWantsItsRequest checks that a typed request must have the type of its method.
func TestServeWantsItsRequest(t *testing.T) {
	c := stopped(t, time.Unix(1, 0))
	for _, wrong := range []any{&machine.Event{}, api.ListRequest{}, nil} {
		if _, err := c.Serve(t.Context(), api.MethodList, &transport.Envelope{}, wrong); !isInternal(err) {
			t.Errorf("a request of type %T: %v", wrong, err)
		}
	}
}

// TestInputOfAnotherTypeIsBinary checks that data which is not JSON is refused in the field for
// JSON, where its quotes would become part of it, and accepted in the other one.
func TestInputOfAnotherTypeIsBinary(t *testing.T) {
	c := stopped(t, time.Unix(1, 0))
	ask := func(method string, request any) (any, error) {
		return c.Serve(t.Context(), method, &transport.Envelope{}, request)
	}
	if _, err := ask(api.MethodRegisterDefinition, requests()[2].request); err != nil {
		t.Fatal(err)
	}
	q := api.StartRequest{ID: "one", Definition: contract.DefinitionRef{Name: "tea"}, Input: []byte(`"<order/>"`), ContentType: "application/xml"}
	_, err := ask(api.MethodStart, &q)
	if refused, ok := errors.AsType[*api.Error](err); !ok || len(refused.Violations) != 1 || refused.Violations[0].Field != "input" {
		t.Errorf("as JSON: %v", err)
	}
	q.Input, q.InputBinary = nil, []byte("<order/>")
	if _, err := ask(api.MethodStart, &q); err != nil {
		t.Errorf("as bytes: %v", err)
	}
}

// TestDecisionNeedsACompleteCount checks that a decision with maxMatches is refused if the matches
// cannot be counted completely.
func TestDecisionNeedsACompleteCount(t *testing.T) {
	for _, tt := range []struct {
		e    tooManyError
		says string
	}{{tooManyError{7, 5, false}, "7 sagas match now"}, {tooManyError{3, 5, true}, "after 3 matches the count was stopped"}} {
		if text := tt.e.Error(); !strings.Contains(text, tt.says) {
			t.Errorf("%+v says %q", tt.e, text)
		}
	}
	s := memstore.New()
	var changes []store.Change
	for i := range 20 {
		changes = append(changes, storetest.Start(contract.SagaID(fmt.Sprint("order-", i)), storetest.Checkout, storetest.Epoch))
	}
	if _, err := s.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	requests := &service{c: &Coordinator{config: Config{Store: endless{s}}}}
	var many *tooManyError
	if err := requests.checkMatches(t.Context(), &store.Filter{IDPrefix: "order-"}, 1<<30); !errors.As(err, &many) || !many.atLeast {
		t.Errorf("a count that was stopped: %v", err)
	}
}

// endless is a store whose lists have no last page.
type endless struct{ *memstore.Store }

func (s endless) List(ctx context.Context, f store.Filter, p store.Page) ([]store.Summary, string, error) {
	found, _, err := s.Store.List(ctx, f, store.Page{Limit: p.Limit})
	return found, "more", err
}

func isInternal(err error) bool {
	r, ok := errors.AsType[*api.Error](err)
	return ok && r.Code == api.CodeInternal
}
