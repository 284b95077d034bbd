package observe

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Bus provides the data that Metrics reads from the bus; *natsbus.Bus implements it.
type Bus interface {
	Load(context.Context) (natsbus.Load, error)
	Stats() natsbus.Stats
}

// WatchBus adds the metrics that are read from the bus on each scrape.
func (m *Metrics) WatchBus(b Bus) { m.bus.watched.Store(&b) }

// bus collects the metrics of the bus on each scrape.
type bus struct {
	watched atomic.Pointer[Bus]
	names   bounded // values of the label participant
}

var (
	pendingDesc      = describe(Pending, LabelParticipant)
	inFlightDesc     = describe(InFlight, LabelParticipant)
	messagesDesc     = describe(BusMessages, LabelStream)
	bytesDesc        = describe(BusBytes, LabelStream)
	reconnectsDesc   = describe(BusReconnects)
	resetsDesc       = describe(BusResets)
	redeliveriesDesc = describe(Redeliveries)
	deadDroppedDesc  = describe(DeadDropped, LabelReason)
)

// Describe implements prometheus.Collector.
func (b *bus) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pendingDesc, inFlightDesc, messagesDesc, bytesDesc, reconnectsDesc, resetsDesc, redeliveriesDesc, deadDroppedDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector. While the bus does not answer, Collect returns
// only the counters; amends_ready shows the problem.
func (b *bus) Collect(out chan<- prometheus.Metric) {
	watched := b.watched.Load()
	if watched == nil {
		return
	}
	s := (*watched).Stats()
	for _, c := range []struct {
		desc  *prometheus.Desc
		value int64
	}{{reconnectsDesc, s.Reconnects}, {resetsDesc, s.Resets}, {redeliveriesDesc, s.Redelivered}} {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.value))
	}
	for i, n := range []int64{s.DeadOverRate, s.DeadUnstored, s.DeadEvicted} {
		out <- prometheus.MustNewConstMetric(deadDroppedDesc, prometheus.CounterValue, float64(n), dropReasons[i])
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchTime)
	defer cancel()
	load, err := (*watched).Load(ctx)
	if err != nil {
		return
	}
	for stream, l := range load.Streams {
		out <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(l.Messages), string(stream))
		out <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(l.Bytes), string(stream))
	}
	pending, inFlight := map[string]float64{}, map[string]float64{}
	for i := range load.Consumers {
		if c := &load.Consumers[i]; c.Stream == transport.StreamCommands {
			name := b.names.label(c.Name)
			pending[name] += float64(c.Pending)
			inFlight[name] += float64(c.InFlight)
		}
	}
	for name := range pending {
		out <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, pending[name], name)
		out <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, inFlight[name], name)
	}
}
