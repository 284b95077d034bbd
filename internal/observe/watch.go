package observe

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
)

// watchTime is the timeout for the coordinator's stats during a scrape.
const watchTime = 5 * time.Second

// watch collects the coordinator's stats on each scrape.
type watch struct {
	stats       func(context.Context) (coordinator.Stats, error)
	ready       func(context.Context) error
	definitions *bounded
}

var (
	readyDesc   = describe(Ready)
	openDesc    = describe(SagasOpen, LabelDefinition, LabelPhase)
	parkedDesc  = describe(SagasParked)
	blockedDesc = describe(SagasBlocked)
	standsDesc  = describe(Standstills, LabelKind)
	backlogDesc = describe(OutboxBacklog)
	oldestDesc  = describe(OutboxOldest)
	hitsDesc    = describe(CacheHits)
	missesDesc  = describe(CacheMisses)
)

func describe(name string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help(name), labels, nil)
}

// Describe implements prometheus.Collector.
func (w *watch) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, openDesc, parkedDesc, blockedDesc, standsDesc, backlogDesc, oldestDesc, hitsDesc, missesDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (w *watch) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), watchTime)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ready := 1.0
	if w.ready(ctx) != nil {
		ready = 0
	}
	gauge(readyDesc, ready)
	s, err := w.stats(ctx)
	if err != nil {
		return // amends_ready shows that there is a problem, and the log shows which
	}
	type series struct{ definition, phase string }
	open, parked := map[series]int{}, 0
	for _, n := range s.Sagas {
		if n.Sagas == n.Ended {
			continue
		}
		if n.Phase == contract.PhaseParked {
			parked += n.Sagas - n.Ended
		}
		open[series{w.definitions.label(n.Definition.Name), string(n.Phase)}] += n.Sagas - n.Ended
	}
	for key, n := range open {
		gauge(openDesc, float64(n), key.definition, key.phase)
	}
	gauge(parkedDesc, float64(parked))
	gauge(blockedDesc, float64(s.Blocked))
	stands := map[api.StandstillKind]int{}
	for i := range s.Standstills {
		stands[s.Standstills[i].Kind]++
	}
	for _, kind := range api.StandstillKinds {
		gauge(standsDesc, float64(stands[kind]), string(kind))
	}
	gauge(backlogDesc, float64(s.OutboxBacklog))
	gauge(oldestDesc, s.OutboxOldest.Seconds())
	out <- prometheus.MustNewConstMetric(hitsDesc, prometheus.CounterValue, float64(s.CacheHits))
	out <- prometheus.MustNewConstMetric(missesDesc, prometheus.CounterValue, float64(s.CacheMisses))
}

// spans collects the span counts on each scrape.
type spans struct {
	counts atomic.Pointer[func() (exported, dropped, failed uint64)]
}

var (
	exportedDesc = describe(SpansExported)
	droppedDesc  = describe(SpansDropped, LabelReason)
)

// Describe implements prometheus.Collector.
func (s *spans) Describe(out chan<- *prometheus.Desc) { out <- exportedDesc; out <- droppedDesc }

// Collect implements prometheus.Collector.
func (s *spans) Collect(out chan<- prometheus.Metric) {
	var exported, dropped, failed uint64
	if counts := s.counts.Load(); counts != nil {
		exported, dropped, failed = (*counts)()
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	counter(exportedDesc, exported)
	counter(droppedDesc, dropped, "queue")
	counter(droppedDesc, failed, "collector")
}
