package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amends-dev/amends/store/boltstore"
)

// Store adds the metrics of the embedded store, which are read on each scrape. Call it at most once.
func (m *Metrics) Store(stats func() boltstore.Stats) {
	m.registry.MustRegister(&disk{stats})
}

// disk collects the metrics of the store on each scrape.
type disk struct{ stats func() boltstore.Stats }

var (
	damagedDesc         = describe(StoreDamaged)
	logRecordsDesc      = describe(LogRecords)
	logBytesDesc        = describe(LogBytes)
	logSegmentsDesc     = describe(LogSegments, LabelState)
	logBehindDesc       = describe(LogBehind)
	logTornDesc         = describe(LogTorn)
	overlayDesc         = describe(Overlay)
	checkpointsDesc     = describe(Checkpoints)
	checkpointBytesDesc = describe(CheckpointBytes)
	checkpointLagDesc   = describe(CheckpointLag)
	waitingDesc         = describe(CommitsWaiting, LabelReason)
)

// Describe implements prometheus.Collector.
func (d *disk) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		damagedDesc, logRecordsDesc, logBytesDesc, logSegmentsDesc, logBehindDesc, logTornDesc, overlayDesc,
		checkpointsDesc, checkpointBytesDesc, checkpointLagDesc, waitingDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (d *disk) Collect(out chan<- prometheus.Metric) {
	s := d.stats()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	gauge(damagedDesc, float64(s.DamagedNow))
	counter(logRecordsDesc, s.Log.Records)
	counter(logBytesDesc, uint64(s.Log.Written))
	gauge(logSegmentsDesc, float64(s.Log.Segments-s.Log.Spares), SegmentsUsed)
	gauge(logSegmentsDesc, float64(s.Log.Spares), SegmentsSpare)
	gauge(logBehindDesc, float64(s.BehindBytes))
	gauge(logTornDesc, float64(s.Log.Torn))
	gauge(overlayDesc, float64(s.OverlayBytes))
	counter(checkpointsDesc, s.Checkpoints)
	counter(checkpointBytesDesc, s.CheckpointBytes)
	lag := 0.0
	if !s.BehindSince.IsZero() {
		lag = time.Since(s.BehindSince).Seconds()
	}
	gauge(checkpointLagDesc, lag)
	for _, reason := range waitingReasons {
		waits := 0.0
		if s.Waiting == reason {
			waits = 1
		}
		gauge(waitingDesc, waits, string(reason))
	}
}
