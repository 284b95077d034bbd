package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/httpapi"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for anything.
const limit = 2 * time.Minute

type cake struct {
	Order string `json:"order"`
}

var (
	bake   = contract.NewCommand[cake, cake]("oven", "bake")
	unbake = contract.UndoOf(bake, "unbake")
	ship   = contract.NewCommand[cake, struct{}]("courier", "ship")

	// bakery completes when both oven and courier complete.
	bakery = saga.MustDefine[cake]("bakery", saga.Timeout(time.Minute),
		saga.Compensable("bake", saga.Do(bake), saga.Undo(unbake)),
		saga.Pivot("ship", saga.Do(ship, saga.Retry(1, time.Second, time.Second))))
)

// fixture is a complete coordinator with its API, and the two services of the bakery.
type fixture struct {
	server.Addresses
	coordinator *server.Server
	apiv1connect.CoordinatorServiceClient
	http *http.Client

	mu     sync.Mutex
	decide func(action string) error
}

// newFixture returns a fixture that runs until the test ends.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureOf(t, server.Config{})
}

// newFixtureOf returns a fixture with the given settings.
func newFixtureOf(t *testing.T, config server.Config) *fixture {
	t.Helper()
	config.DataDir = t.TempDir() // before the cleanup below, so that it is removed afterwards
	config.HTTP, config.Logger, config.Definitions = "127.0.0.1:0", slog.New(slog.DiscardHandler), []*saga.Definition{bakery}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := server.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w := &fixture{Addresses: s.Addresses(), coordinator: s, decide: func(string) error { return nil }, http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(w.http.CloseIdleConnections)
	w.CoordinatorServiceClient = apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP)
	w.services(t)
	return w
}

func (w *fixture) services(t *testing.T) {
	t.Helper()
	quiet := participant.Logger(slog.New(slog.DiscardHandler))
	oven := participant.New("oven", &participant.MemoryInbox{}, quiet)
	participant.Handle(oven, bake, func(_ context.Context, _ *participant.MemoryTx, c cake) (cake, error) { return c, w.act("bake") })
	participant.HandleUndo(oven, unbake, func(context.Context, *participant.MemoryTx, contract.Undo[cake, cake]) error { return w.act("unbake") })
	courier := participant.New("courier", &participant.MemoryInbox{}, quiet)
	participant.Handle(courier, ship, func(context.Context, *participant.MemoryTx, cake) (struct{}, error) { return struct{}{}, w.act("ship") })
	bus, err := w.coordinator.Connect(t.Context(), "services")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range []interface {
		Run(context.Context, transport.Bus) error
	}{oven, courier} {
		running.Go(func() {
			if err := p.Run(ctx, bus); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait(); _ = bus.Close() })
}

func (w *fixture) act(action string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decide(action)
}

// when sets the function that decides the services' answers from now on.
func (w *fixture) when(decide func(action string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decide = decide
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func order(id string) *connect.Request[apiv1.StartRequest] {
	return connect.NewRequest(&apiv1.StartRequest{Id: id, Definition: &apiv1.DefinitionRef{Name: "bakery"}, Input: `{"order": "` + id + `"}`})
}

// start starts a saga and waits until it is at rest.
func (w *fixture) start(t *testing.T, id string) *apiv1.Saga {
	t.Helper()
	ctx := within(t)
	if _, err := w.Start(ctx, order(id)); err != nil {
		t.Fatal(err)
	}
	return w.wait(t, id)
}

// wait waits until a saga is at rest.
func (w *fixture) wait(t *testing.T, id string) *apiv1.Saga {
	t.Helper()
	r, err := w.Wait(within(t), connect.NewRequest(&apiv1.WaitRequest{Id: id, Timeout: durationpb.New(limit)}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Msg.Saga
}

// park starts a saga that is parked because the outcome of its pivot is unknown.
func (w *fixture) park(t *testing.T, id string) *apiv1.Saga {
	t.Helper()
	w.when(func(action string) error {
		if action == "ship" {
			return errors.New("the van broke down")
		}
		return nil
	})
	s := w.start(t, id)
	if s.Phase != "parked" {
		t.Fatalf("%s is %s, want parked", id, s.Phase)
	}
	return s
}

// refusal returns the code and the detail of an error.
func refusal(t *testing.T, err error) (connect.Code, *apiv1.Refusal) {
	t.Helper()
	failure, ok := errors.AsType[*connect.Error](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	for _, d := range failure.Details() {
		v, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := v.(*apiv1.Refusal); ok {
			return failure.Code(), r
		}
	}
	return failure.Code(), &apiv1.Refusal{}
}

// TestEveryProtocol checks that the same handlers serve Connect with JSON and with protobuf, gRPC
// and gRPC-Web.
func TestEveryProtocol(t *testing.T) {
	w := newFixture(t)
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	defer h2c.CloseIdleConnections()
	for name, c := range map[string]apiv1connect.CoordinatorServiceClient{
		"connect":          w.CoordinatorServiceClient,
		"connect-json":     apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP, httpapi.JSON()),
		"connect-get":      apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP, connect.WithHTTPGet()),
		"connect-json-get": apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP, httpapi.JSON(), connect.WithHTTPGet()),
		"grpc":             apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: h2c}, w.HTTP, connect.WithGRPC()),
		"grpc-web":         apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP, connect.WithGRPCWeb()),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			input := `{"order": "` + name + `"}` // as it was sent
			if strings.Contains(name, "json") {
				input = `{"order":"` + name + `"}` // JSON keeps the value
			}
			started, err := c.Start(ctx, order(name))
			if err != nil || started.Msg.Saga.Existed || started.Msg.Saga.Id != name {
				t.Fatalf("start: %v, %v", started, err)
			}
			if again, err := c.Start(ctx, order(name)); err != nil || !again.Msg.Saga.Existed {
				t.Errorf("the same start again: %v, %v", again, err)
			}
			ended, err := c.Wait(ctx, connect.NewRequest(&apiv1.WaitRequest{Id: name, Timeout: durationpb.New(limit)}))
			if err != nil || ended.Msg.Saga.Phase != "completed" || ended.Msg.Saga.Ended == nil {
				t.Fatalf("wait: %v, %v", ended, err)
			}
			got, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: name}))
			if err != nil || got.Msg.Saga.Revision != 3 || len(got.Msg.Saga.Steps) != 2 || got.Msg.Saga.Input.Json != input || !got.Msg.Saga.PastPivot {
				t.Errorf("get: %v, %v", got, err)
			}
			if step := got.Msg.Saga.Steps[0]; step.Participant != "oven" || step.Action != "bake" || step.Status != "done" || step.Result.Json != `{"order":"`+name+`"}` {
				t.Errorf("its first step is %v", step)
			}
			both := &apiv1.RunRequest{Id: name + "-waited", Definition: &apiv1.DefinitionRef{Name: "bakery"}, Input: `{"order": "x"}`, Timeout: durationpb.New(limit)}
			if run, err := c.Run(ctx, connect.NewRequest(both)); err != nil || run.Msg.Saga.Existed || run.Msg.Saga.Phase != "completed" || len(run.Msg.Saga.Steps) != 2 {
				t.Errorf("run: %v, %v", run, err)
			}
			history, err := c.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: name}))
			if err != nil || len(history.Msg.Events) != 3 || history.Msg.Events[2].Participant != "courier" || history.Msg.NextRevision != 0 {
				t.Errorf("history: %v, %v", history, err)
			}
			list, err := c.List(ctx, connect.NewRequest(&apiv1.ListRequest{Filter: &apiv1.Filter{IdPrefix: name, Phases: []string{"completed"}}}))
			if err != nil || len(list.Msg.Sagas) < 1 || !strings.HasPrefix(list.Msg.Sagas[0].Id, name) {
				t.Errorf("list: %v, %v", list, err)
			}
			_, err = c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "nobody"}))
			if code, _ := refusal(t, err); code != connect.CodeNotFound {
				t.Errorf("a saga that is not there: %v", err)
			}
		})
	}
}

// TestRefusalsSayWhatWouldBeRight checks the details that a client gets with each refusal.
func TestRefusalsSayWhatWouldBeRight(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	w.park(t, "stuck")
	_, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "stuck", Decision: &apiv1.Decision{Operation: "cancel", By: "kim", Reason: "let it go"}}))
	code, detail := refusal(t, err)
	var legal []string
	for _, v := range detail.Legal {
		legal = append(legal, v.Operation+"/"+v.Step)
	}
	if got, want := strings.Join(legal, " "), "retry/ship resolve/ship skip/ship compensate/ abandon/ pause/"; code != connect.CodeFailedPrecondition || got != want {
		t.Errorf("%v: legal are %s, want %s", code, got, want)
	}
	for name, tt := range map[string]struct {
		do    func() error
		code  connect.Code
		field string
		words string
	}{
		"phase": {func() error {
			_, err := w.List(ctx, connect.NewRequest(&apiv1.ListRequest{Filter: &apiv1.Filter{Phases: []string{"running", "stuck"}}}))
			return err
		}, connect.CodeInvalidArgument, "filter.phases[1]", "use running, compensating, completed, compensated or parked"},
		"version": {func() error {
			_, err := w.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Definition: &apiv1.DefinitionRef{Name: "bakery", Version: -1}}))
			return err
		}, connect.CodeInvalidArgument, "definition.version", "versions count from 1"},
		"timeout of a run": {func() error {
			_, err := w.Run(ctx, connect.NewRequest(&apiv1.RunRequest{Id: "stuck", Definition: &apiv1.DefinitionRef{Name: "bakery"}, Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}}))
			return err
		}, connect.CodeInvalidArgument, "timeout", `give one such as "30s"`},
		"two inputs": {func() error {
			_, err := w.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Definition: &apiv1.DefinitionRef{Name: "bakery"}, Input: "{}", InputBinary: []byte("{}")}))
			return err
		}, connect.CodeInvalidArgument, "inputBinary", "give one of the two"},
		"limit": {func() error {
			_, err := w.List(ctx, connect.NewRequest(&apiv1.ListRequest{Limit: 1001}))
			return err
		}, connect.CodeInvalidArgument, "limit", "use 1 to 1000"},
		"another input": {func() error {
			r := order("stuck")
			r.Msg.Input = `{"order":"another"}`
			_, err := w.Start(ctx, r)
			return err
		}, connect.CodeAlreadyExists, "", "a different input"},
		"definition": {func() error {
			_, err := w.RegisterDefinition(ctx, connect.NewRequest(&apiv1.RegisterDefinitionRequest{Source: "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: sideways, do: {participant: pot, action: brew}}\n"}))
			return err
		}, connect.CodeInvalidArgument, "steps[0].kind", "write compensable, pivot or retriable"},
		"no decision": {func() error {
			_, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "stuck"}))
			return err
		}, connect.CodeInvalidArgument, "decision", "set the fields operation, by and reason"},
	} {
		err := tt.do()
		code, detail := refusal(t, err)
		if code != tt.code || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %v and %q", name, err, tt.code, tt.words)
		}
		if tt.field != "" && !slices.ContainsFunc(detail.Violations, func(v *apiv1.Violation) bool { return v.Field == tt.field && strings.Contains(v.Problem, tt.words) }) {
			t.Errorf("%s: violations are %v, want one of %s", name, detail.Violations, tt.field)
		}
	}
}

// TestBusyIsSaidWithATime checks that a request that is refused because of load says when to retry.
func TestBusyIsSaidWithATime(t *testing.T) {
	w := newFixtureOf(t, server.Config{MaxOpen: 1})
	w.park(t, "stuck")
	_, err := w.Start(within(t), order("more"))
	code, detail := refusal(t, err)
	if code != connect.CodeResourceExhausted || detail.RetryAfter.AsDuration() <= 0 || detail.RetryAfter.AsDuration() > time.Minute {
		t.Errorf("%v, %v", err, detail)
	}
}

// TestReadsSeeTheDecision checks that after an operation, every read shows its effect at once.
func TestReadsSeeTheDecision(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	for _, id := range []string{"a", "b", "c"} {
		w.park(t, id)
		done, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: "abandon", By: "kim", Reason: "the shop is closed"}}))
		if err != nil || done.Msg.Saga.Ended == nil {
			t.Fatalf("abandon: %v, %v", done, err)
		}
		got, err := w.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: id}))
		if err != nil || got.Msg.Saga.Revision < done.Msg.Saga.Revision || got.Msg.Saga.Ended == nil {
			t.Errorf("get after the decision: %v, %v", got, err)
		}
		list, err := w.List(ctx, connect.NewRequest(&apiv1.ListRequest{Filter: &apiv1.Filter{Open: true, IdPrefix: id}}))
		if err != nil || len(list.Msg.Sagas) != 0 {
			t.Errorf("open sagas after the decision: %v, %v", list, err)
		}
		history, err := w.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: id, FromRevision: done.Msg.Saga.Revision}))
		if err != nil || len(history.Msg.Events) != 1 || history.Msg.Events[0].By != "kim" || history.Msg.Events[0].Reason != "the shop is closed" {
			t.Errorf("history after the decision: %v, %v", history, err)
		}
	}
}

// TestDefinitions checks that a definition that is only validated is not stored, and that the
// newest version is marked.
func TestDefinitions(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	source := func(version string) string {
		return "name: tea\nversion: " + version + "\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"
	}
	register := func(version string, dry bool) *apiv1.RegisterDefinitionResponse {
		t.Helper()
		r, err := w.RegisterDefinition(ctx, connect.NewRequest(&apiv1.RegisterDefinitionRequest{Source: source(version), DryRun: dry}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg
	}
	known := func(want string) {
		t.Helper()
		r, err := w.ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{Name: "tea"}))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range r.Msg.Definitions {
			word := d.Ref.Name + "/" + string(rune('0'+d.Ref.Version))
			if d.Newest {
				word += " newest"
			}
			got = append(got, word)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("known are %q, want %q", got, want)
		}
	}
	if register("1", true).Existed {
		t.Error("it does not exist yet")
	}
	known("")
	if register("1", false).Existed || !register("1", false).Existed || !register("1", true).Existed {
		t.Error("the second registration is not known as one")
	}
	register("2", false)
	known("tea/1, tea/2 newest")
	changed := strings.Replace(source("2"), "pot", "kettle", 1)
	for _, dry := range []bool{true, false} {
		_, err := w.RegisterDefinition(ctx, connect.NewRequest(&apiv1.RegisterDefinitionRequest{Source: changed, DryRun: dry}))
		if code, _ := refusal(t, err); code != connect.CodeAlreadyExists {
			t.Errorf("another content, dry run %t: %v", dry, err)
		}
	}
}

// TestDeadLetters lists, replays and discards malformed messages.
func TestDeadLetters(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	bus, err := w.coordinator.Connect(ctx, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	for range 3 {
		if _, err := bus.Conn().Request("saga.event.oven.nobody.7.bake.do.1", []byte("no header"), limit); err != nil {
			t.Fatal(err)
		}
	}
	list := func(want int) *apiv1.ListDeadLettersResponse {
		t.Helper()
		for {
			r, err := w.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{Limit: 2}))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Msg.DeadLetters) == want {
				return r.Msg
			}
		}
	}
	page := list(2)
	for page.NextCursor == 0 { // the third message has not arrived yet
		page = list(2)
	}
	letter := page.DeadLetters[0]
	if letter.Stream != "events" || letter.Subject != "saga.event.oven.nobody.7.bake.do.1" || letter.Reason == "" || string(letter.Data.Binary) != "no header" {
		t.Errorf("the first is %v", letter)
	}
	discarded, err := w.DiscardDeadLetters(ctx, connect.NewRequest(&apiv1.DiscardDeadLettersRequest{Sequences: []uint64{letter.Sequence, 999}}))
	if err != nil || len(discarded.Msg.Discarded) != 1 || len(discarded.Msg.Failed) != 1 || discarded.Msg.Failed[0].Sequence != 999 {
		t.Errorf("discard: %v, %v", discarded, err)
	}
	next := page.DeadLetters[1].Sequence
	replayed, err := w.ReplayDeadLetters(ctx, connect.NewRequest(&apiv1.ReplayDeadLettersRequest{Sequences: []uint64{next}}))
	if err != nil || len(replayed.Msg.Replayed) != 1 {
		t.Errorf("replay: %v, %v", replayed, err)
	}
	if again := list(2); again.DeadLetters[0].Sequence == next { // the replayed message became a new dead letter
		t.Errorf("the replayed one is still there: %v", again)
	}
	purge := func(r *apiv1.PurgeDeadLettersRequest, want int64) {
		t.Helper()
		if purged, err := w.PurgeDeadLetters(ctx, connect.NewRequest(r)); err != nil || purged.Msg.Matched != want || purged.Msg.NextCursor != 0 {
			t.Errorf("purge %v: %v, %v; want %d", r, purged, err, want)
		}
	}
	purge(&apiv1.PurgeDeadLettersRequest{Participant: "oven", Stream: "events", Reason: "ce-type", DryRun: true}, 2)
	purge(&apiv1.PurgeDeadLettersRequest{OlderThan: durationpb.New(time.Hour)}, 0)
	purge(&apiv1.PurgeDeadLettersRequest{Participant: "oven", OlderThan: durationpb.New(time.Nanosecond)}, 2)
	if _, err := w.PurgeDeadLetters(ctx, connect.NewRequest(&apiv1.PurgeDeadLettersRequest{})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("without a filter: %v, want that it is refused", err)
	}
}

// TestJSONIsStrict checks that malformed or ambiguous requests are refused, with a suggested fix
// (I9, I10).
func TestJSONIsStrict(t *testing.T) {
	w := newFixture(t)
	for body, want := range map[string]string{
		`{"id":"x","colour":"red"}`: `"violations":[{"field":"colour","problem":"is unknown; there are id"}]`,
		`{"id":1}`:                  `"violations":[{"field":"id","problem":"is a JSON number; write a string"}]`,
		``:                          `the body is empty; send JSON`,
		`{"id":"x"`:                 `the JSON ends in the middle`,
		`{"id":"` + strings.Repeat("x", httpapi.MaxMessage) + `"}`: `resource_exhausted`,
	} {
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, w.HTTP+apiv1connect.CoordinatorServiceGetProcedure, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if said := strings.ReplaceAll(string(text), `\"`, `"`); err != nil || response.StatusCode == http.StatusOK || !strings.Contains(said, want) {
			t.Errorf("%.40q answers %d %s, %v; want %s", body, response.StatusCode, text, err, want)
		}
	}
}
