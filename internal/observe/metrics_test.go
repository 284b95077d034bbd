package observe_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

var update = flag.Bool("update", false, "write docs/METRICS.md instead of comparing with it")

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// observed returns a Metrics that has counted one saga of each kind.
func observed(ready error) *observe.Metrics {
	m := observe.NewMetrics("v1.2.3")
	checkout := contract.DefinitionRef{Name: "checkout", Version: 2}
	m.Watch(func(context.Context) (coordinator.Stats, error) {
		return coordinator.Stats{
			Sagas: []store.Count{
				{Definition: checkout, Phase: contract.PhaseRunning, Sagas: 3},
				{Definition: contract.DefinitionRef{Name: "checkout", Version: 1}, Phase: contract.PhaseRunning, Sagas: 2},
				{Definition: checkout, Phase: contract.PhaseParked, Sagas: 8, Ended: 7},
				{Definition: checkout, Phase: contract.PhaseCompleted, Sagas: 70, Ended: 70},
			},
			OutboxBacklog: 4, OutboxOldest: 1500 * time.Millisecond, Blocked: 6, CacheHits: 9, CacheMisses: 1,
		}, nil
	}, func(context.Context) error { return ready })
	m.Transition(coordinator.Transition{Saga: "order-42", Definition: checkout, Event: contract.EventStarted, After: contract.PhaseRunning, Started: start, At: start})
	m.Transition(coordinator.Transition{
		Saga: "order-42", Definition: checkout, Event: contract.EventStepAnswered, Step: "charge", Direction: contract.DirectionDo, Attempt: 1,
		Before: contract.PhaseRunning, After: contract.PhaseCompleted, Ended: true, Started: start, At: start.Add(2 * time.Second), Waited: time.Second,
	})
	m.Transition(coordinator.Transition{Saga: "order-43", Definition: checkout, Event: contract.EventTimerFired, Timer: contract.TimerDeadline, Before: contract.PhaseRunning, After: contract.PhaseRunning, Overdue: true})
	m.Ignored(machine.IgnoredDuplicate)
	m.DeadLetter(coordinator.DeadLetterSubject)
	m.StartRefused(coordinator.LimitOpen, start)
	m.Committed(5, 3*time.Millisecond)
	m.Published(7, 2)
	m.TraceDropped()
	m.WatchBus(onTheBus{})
	m.Store(func() boltstore.Stats {
		return boltstore.Stats{
			DamagedNow: 8, Waiting: boltstore.WaitingLogFull, BehindSince: time.Now().Add(-time.Hour), BehindBytes: 31, OverlayBytes: 32,
			Checkpoints: 33, CheckpointBytes: 34, Log: log.Stats{Segments: 9, Spares: 2, Records: 35, Written: 36, Torn: 37},
		}
	})
	m.Spans(func() (exported, dropped, failed uint64) { return 30, 2, 1 })
	return m
}

// onTheBus is a bus with two participants, one of which is behind.
type onTheBus struct{}

func (onTheBus) Stats() natsbus.Stats {
	return natsbus.Stats{Reconnects: 1, Resets: 2, Redelivered: 3, DeadOverRate: 4, DeadUnstored: 5, DeadEvicted: 6}
}

func (onTheBus) Load(context.Context) (natsbus.Load, error) {
	return natsbus.Load{
		Streams: map[transport.Stream]natsbus.StreamLoad{transport.StreamCommands: {Messages: 12, Bytes: 3400}, transport.StreamDeadLetters: {Messages: 1, Bytes: 90}},
		Consumers: []natsbus.ConsumerLoad{
			{Stream: transport.StreamCommands, Name: "payment", Pending: 9, InFlight: 2}, {Stream: transport.StreamCommands, Name: "inventory", InFlight: 1},
			{Stream: transport.StreamEvents, Name: "coordinator", Pending: 5},
		},
	}, nil
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestMetricsOfASaga(t *testing.T) {
	_, text := get(t, observed(nil).Handler(), "/")
	for _, want := range []string{
		`amends_sagas_started_total{definition="checkout"} 1`,
		`amends_sagas_ended_total{definition="checkout",phase="completed"} 1`,
		`amends_saga_duration_seconds_sum{definition="checkout",phase="completed"} 2`,
		`amends_step_duration_seconds_sum{definition="checkout",direction="do",step="charge"} 1`,
		`amends_transitions_total{definition="checkout",event="step_answered"} 1`,
		`amends_events_ignored_total{reason="already answered"} 1`,
		`amends_dead_letters_total{reason="subject"} 1`,
		`amends_trace_contexts_dropped_total 1`,
		`amends_commit_sagas_sum 5`,
		`amends_commit_duration_seconds_sum 0.003`,
		`amends_outbox_published_total 7`,
		`amends_outbox_publish_failures_total 2`,
		`amends_outbox_backlog 4`,
		`amends_outbox_oldest_age_seconds 1.5`,
		`amends_sagas_open{definition="checkout",phase="running"} 5`,
		`amends_sagas_open{definition="checkout",phase="parked"} 1`,
		`amends_sagas_parked 1`,
		`amends_sagas_overdue_total{definition="checkout"} 1`,
		`amends_starts_refused_total{reason="open"} 1`,
		`amends_starts_refused_total{reason="backlog"} 0`,
		`amends_sagas_blocked 6`,
		`amends_store_damaged_records 8`,
		`amends_store_log_records_total 35`,
		`amends_store_log_bytes_total 36`,
		`amends_store_log_segments{state="used"} 7`,
		`amends_store_log_segments{state="spare"} 2`,
		`amends_store_log_behind_bytes 31`,
		`amends_store_log_torn_bytes 37`,
		`amends_store_overlay_bytes 32`,
		`amends_store_checkpoints_total 33`,
		`amends_store_checkpoint_bytes_total 34`,
		`amends_store_commits_waiting{reason="checkpoint"} 0`,
		`amends_store_commits_waiting{reason="log_full"} 1`,
		`amends_store_commits_waiting{reason="state_full"} 0`,
		`amends_starts_refused_total{reason="disk"} 0`,
		`amends_cache_hits_total 9`,
		`amends_cache_misses_total 1`,
		`amends_trace_spans_exported_total 30`,
		`amends_trace_spans_dropped_total{reason="queue"} 2`,
		`amends_trace_spans_dropped_total{reason="collector"} 1`,
		`amends_participant_pending{participant="payment"} 9`,
		`amends_participant_in_flight{participant="payment"} 2`,
		`amends_participant_in_flight{participant="inventory"} 1`,
		`amends_bus_messages{stream="commands"} 12`,
		`amends_bus_messages{stream="dead-letters"} 1`,
		`amends_bus_bytes{stream="commands"} 3400`,
		`amends_bus_reconnects_total 1`,
		`amends_bus_resets_total 2`,
		`amends_bus_redeliveries_total 3`,
		`amends_dead_letters_dropped_total{reason="rate"} 4`,
		`amends_dead_letters_dropped_total{reason="unstored"} 5`,
		`amends_dead_letters_dropped_total{reason="ring"} 6`,
		`amends_ready 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if !regexp.MustCompile(`(?m)^amends_store_checkpoint_lag_seconds 36\d\d(\.\d+)?$`).MatchString(text) {
		t.Error("the state is behind by an hour, which is missing")
	}
	if strings.Contains(text, "order-42") {
		t.Error("a saga id is a label")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestCatalogueIsWhatIsServed checks that the catalogue lists exactly the served metrics, with
// their types and labels.
func TestCatalogueIsWhatIsServed(t *testing.T) {
	families, err := observed(nil).Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "amends_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		served[f.GetName()] = fmt.Sprintf("%s %d labels: %s", strings.ToLower(f.GetType().String()), len(labels), f.GetHelp())
	}
	listed := map[string]string{}
	for _, m := range observe.Catalogue() {
		listed[m.Name] = fmt.Sprintf("%s %d labels: %s", m.Type, len(m.Labels), m.Help)
	}
	if diff := cmp.Diff(listed, served); diff != "" {
		t.Errorf("the catalogue (-) and what is served (+) differ:\n%s", diff)
	}
}

// TestMetricsDocument checks that docs/METRICS.md matches the catalogue. The flag -update writes
// the file.
func TestMetricsDocument(t *testing.T) {
	want := document()
	path := filepath.Join("..", "..", "docs", "METRICS.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/METRICS.md is out of date; update it with: go test ./internal/observe -update\n%s", diff)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Metrics

The coordinator serves these at ` + "`/metrics`" + ` of its ` + "`--http`" + ` address, beside the usual metrics of a Go
process. This page is written by ` + "`go test ./internal/observe -update`" + `.

A saga id is never a label. A definition is labelled by its name, without the
version; beyond ` + fmt.Sprint(observe.MaxDefinitions) + ` names in one process they are counted together as ` + "`" + observe.Other + "`" + `.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
`)
	for _, m := range observe.Catalogue() {
		labels := "none"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, labels, m.Help)
	}
	b.WriteString(`
Watch first: ` + "`amends_sagas_parked`" + ` above 0 (a person is needed), ` + "`amends_outbox_oldest_age_seconds`" + ` growing
(the bus takes nothing), ` + "`amends_ready`" + ` at 0 (no work is taken), and the rate of ` + "`amends_dead_letters_total`" + `.

## Log keys

Warnings and errors that a message can cause are limited: the first of a kind at once, then one in ten seconds with "(and n more)" and the key "more".

One line for each transition: at debug while a saga goes on, at info when it
starts, changes its phase or is operated, at warn when it is parked.

| Key | Meaning |
|---|---|
`)
	for _, k := range [][2]string{
		{coordinator.LogSaga, "the saga's id"},
		{coordinator.LogDefinition, "its definition, name/version"},
		{coordinator.LogRevision, "its revision after the event"},
		{coordinator.LogEvent, "started, step_answered, timer_fired, operation_taken or clock_adjusted"},
		{coordinator.LogPhase, "its phase after the event"},
		{coordinator.LogTimer, "which timer fired: timeout, retry or deadline"},
		{coordinator.LogStep, "the step of an answer or a decision"},
		{coordinator.LogDirection, "do or undo"},
		{coordinator.LogAttempt, "the attempt that was answered, or whose timer fired"},
		{coordinator.LogOutcome, "completed, rejected or failed"},
		{coordinator.LogOperation, "the operator's operation"},
		{coordinator.LogReason, "the reason of a rejection, failure, decision or parking"},
		{coordinator.LogTrace, "the W3C trace id that the start carried"},
		{coordinator.LogShard, "the shard, in messages about the coordinator itself"},
		{coordinator.LogError, "the error"},
		{coordinator.LogBy, "who replayed, discarded or purged dead letters"},
	} {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k[0], k[1])
	}
	return b.String()
}

func TestDefinitionLabelsAreBounded(t *testing.T) {
	m := observe.NewMetrics("")
	for i := range observe.MaxDefinitions + 50 {
		m.Transition(coordinator.Transition{Definition: contract.DefinitionRef{Name: fmt.Sprint("d", i)}, Event: contract.EventStarted})
	}
	_, text := get(t, m.Handler(), "/")
	if n := strings.Count(text, "\namends_sagas_started_total{"); n != observe.MaxDefinitions+1 {
		t.Errorf("%d series, want %d and one for other", n, observe.MaxDefinitions)
	}
	if !strings.Contains(text, `amends_sagas_started_total{definition="other"} 50`) {
		t.Error("further definitions are not counted as other")
	}
}

func TestProbes(t *testing.T) {
	var ready error
	mux := observe.Handler{Ready: func(context.Context) error { return ready }, Metrics: observe.NewMetrics("").Handler()}.Mux()
	for _, tt := range []struct {
		ready error
		path  string
		code  int
		body  string
	}{
		{nil, "/livez", 200, "ok\n"},
		{nil, "/readyz", 200, "ok\n"},
		{nil, "/healthz", 200, "ok\n"},
		{errors.New("starting"), "/livez", 200, "ok\n"},
		{errors.New("starting"), "/readyz", 503, "starting\n"},
		{errors.New("starting"), "/healthz", 503, "starting\n"},
		{nil, "/debug/pprof/", 404, "404 page not found\n"},
	} {
		ready = tt.ready
		if code, body := get(t, mux, tt.path); code != tt.code || body != tt.body {
			t.Errorf("%s with %v: %d %q, want %d %q", tt.path, tt.ready, code, body, tt.code, tt.body)
		}
	}
	if code, text := get(t, mux, "/metrics"); code != 200 || !strings.Contains(text, "amends_build_info") {
		t.Errorf("/metrics: %d", code)
	}
	if code, _ := get(t, observe.Handler{Pprof: true}.Mux(), "/debug/pprof/"); code != 200 {
		t.Errorf("pprof was asked for and answers %d", code)
	}
}
