package observe

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga/machine"
)

// Metrics collects the metrics of one coordinator in its own registry, so that a process can run
// several coordinators. It is safe for concurrent use.
type Metrics struct {
	registry    *prometheus.Registry
	definitions bounded

	started        *prometheus.CounterVec
	startsRefused  *prometheus.CounterVec
	ended          *prometheus.CounterVec
	overdue        *prometheus.CounterVec
	sagaDuration   *prometheus.HistogramVec
	stepDuration   *prometheus.HistogramVec
	transitions    *prometheus.CounterVec
	ignored        *prometheus.CounterVec
	deadLetters    *prometheus.CounterVec
	commitDuration prometheus.Histogram
	commitSagas    prometheus.Histogram
	published      prometheus.Counter
	publishFailed  prometheus.Counter
	dropped        prometheus.Counter
	overtook       prometheus.Counter
	clockSteps     prometheus.Counter
	tracesDropped  prometheus.Counter
	spans          spans
	bus            bus
}

var _ coordinator.Observer = (*Metrics)(nil)

// NewMetrics returns the metrics of one coordinator. version is a label of amends_build_info.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		definitions: bounded{most: MaxDefinitions, known: map[string]bool{}},
		bus:         bus{names: bounded{most: MaxParticipants, known: map[string]bool{}}},

		started:       counters(SagasStarted, LabelDefinition),
		startsRefused: counters(StartsRefused, LabelReason),
		ended:         counters(SagasEnded, LabelDefinition, LabelPhase),
		overdue:       counters(SagasOverdue, LabelDefinition),
		transitions:   counters(Transitions, LabelDefinition, LabelEvent),
		ignored:       counters(EventsIgnored, LabelReason),
		deadLetters:   counters(DeadLetters, LabelReason),
		sagaDuration:  histograms(SagaDuration, prometheus.ExponentialBuckets(0.01, 4, 12), LabelDefinition, LabelPhase), // 10 ms … 12 h
		stepDuration:  histograms(StepDuration, prometheus.ExponentialBuckets(0.001, 4, 11), LabelDefinition, LabelStep, LabelDirection),

		commitDuration: prometheus.NewHistogram(options(CommitDuration, prometheus.ExponentialBuckets(0.00025, 2, 14))), // 0.25 ms … 2 s
		commitSagas:    prometheus.NewHistogram(options(CommitSagas, prometheus.ExponentialBuckets(1, 2, 11))),          // 1 … 1024
		published:      prometheus.NewCounter(prometheus.CounterOpts{Name: Published, Help: help(Published)}),
		publishFailed:  prometheus.NewCounter(prometheus.CounterOpts{Name: PublishFailed, Help: help(PublishFailed)}),
		dropped:        prometheus.NewCounter(prometheus.CounterOpts{Name: AnnouncementsDropped, Help: help(AnnouncementsDropped)}),
		clockSteps:     prometheus.NewCounter(prometheus.CounterOpts{Name: ClockSteps, Help: help(ClockSteps)}),
		overtook:       prometheus.NewCounter(prometheus.CounterOpts{Name: TimersOvertook, Help: help(TimersOvertook)}),
		tracesDropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: TracesDropped, Help: help(TracesDropped)}),
	}
	for _, reason := range deadLetterReasons {
		m.deadLetters.WithLabelValues(reason) // start at 0, so that the first dead letter counts as an increase
	}
	for _, limit := range limits {
		m.startsRefused.WithLabelValues(limit)
	}
	for _, reason := range ignoredReasons {
		m.ignored.WithLabelValues(string(reason))
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: BuildInfo, Help: help(BuildInfo)}, []string{LabelVersion, LabelGoVersion})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		&m.spans, &m.bus, m.started, m.startsRefused, m.ended, m.overdue, m.sagaDuration, m.stepDuration, m.transitions, m.ignored, m.deadLetters,
		m.commitDuration, m.commitSagas, m.published, m.publishFailed, m.dropped, m.overtook, m.clockSteps, m.tracesDropped, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func options(name string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help(name), Buckets: buckets}
}

func counters(name string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help(name)}, labels)
}

func histograms(name string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(options(name, buckets), labels)
}

// Watch adds the metrics that are read from the coordinator on each scrape. stats and ready must
// return when their context ends. Call Watch once.
func (m *Metrics) Watch(stats func(context.Context) (coordinator.Stats, error), ready func(context.Context) error) {
	m.registry.MustRegister(&watch{stats: stats, ready: ready, definitions: &m.definitions})
}

// Spans adds the span counts of internal/otlp. Without this call they are 0.
func (m *Metrics) Spans(counts func() (exported, dropped, failed uint64)) {
	m.spans.counts.Store(&counts)
}

// Handler returns a handler that serves the metrics in Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})
}

// Gatherer returns the registry, for callers that serve the metrics themselves.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Transition counts one accepted event.
func (m *Metrics) Transition(t coordinator.Transition) {
	definition := m.definitions.label(t.Definition.Name)
	m.transitions.WithLabelValues(definition, string(t.Event)).Inc()
	if t.Event == contract.EventStarted {
		m.started.WithLabelValues(definition).Inc()
		m.overdue.WithLabelValues(definition) // start at 0, so that the first overdue saga counts as an increase
	}
	if t.Event == contract.EventStepAnswered && t.Waited > 0 {
		m.stepDuration.WithLabelValues(definition, string(t.Step), string(t.Direction)).Observe(t.Waited.Seconds())
	}
	if t.Overdue {
		m.overdue.WithLabelValues(definition).Inc()
	}
	if t.Ended {
		m.ended.WithLabelValues(definition, string(t.After)).Inc()
		m.sagaDuration.WithLabelValues(definition, string(t.After)).Observe(t.At.Sub(t.Started).Seconds())
	}
}

// Ignored counts an event that had no effect.
func (m *Metrics) Ignored(reason machine.Ignored) {
	m.ignored.WithLabelValues(string(reason)).Inc()
}

// DeadLetter counts a message that became a dead letter.
func (m *Metrics) DeadLetter(reason string) {
	m.deadLetters.WithLabelValues(reason).Inc()
}

// StartRefused counts a start that was refused because of a limit.
func (m *Metrics) StartRefused(limit string, _ time.Time) {
	m.startsRefused.WithLabelValues(limit).Inc()
}

// Committed counts one commit.
func (m *Metrics) Committed(sagas int, took time.Duration) {
	m.commitSagas.Observe(float64(sagas))
	m.commitDuration.Observe(took.Seconds())
}

// Published counts the messages of a batch that the bus accepted and refused.
func (m *Metrics) Published(accepted, refused int) {
	m.published.Add(float64(accepted))
	m.publishFailed.Add(float64(refused))
}

// AnnouncementsDropped counts announcements that the relay has dropped.
func (m *Metrics) AnnouncementsDropped(announcements int) { m.dropped.Add(float64(announcements)) }

// TimersOvertook counts that timers fired although answers were still on the bus.
func (m *Metrics) TimersOvertook() { m.overtook.Inc() }

// ClockSet counts a change of the wall clock.
func (m *Metrics) ClockSet(time.Duration) { m.clockSteps.Inc() }

// TraceDropped counts a message with an invalid trace context.
func (m *Metrics) TraceDropped() { m.tracesDropped.Inc() }

// bounded limits the number of values of a label whose values come from outside.
type bounded struct {
	most  int
	mu    sync.RWMutex
	known map[string]bool
}

// label returns name for the first names that it gets, up to the limit, and Other for all further
// names.
func (d *bounded) label(name string) string {
	d.mu.RLock()
	known := d.known[name]
	d.mu.RUnlock()
	if known {
		return name
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known[name] && len(d.known) >= d.most {
		return Other
	}
	d.known[name] = true
	return name
}
