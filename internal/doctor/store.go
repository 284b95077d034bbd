package doctor

import (
	"fmt"

	dto "github.com/prometheus/client_model/go"

	"github.com/amends-dev/amends/internal/plural"
)

// From these on, checkpoints do not keep up with commits; the alert AmendsCheckpointsBehind has the same.
const (
	maxLag    = 120      // seconds
	maxBehind = 48 << 20 // bytes
	maxUsed   = 32       // segments
)

// store examines the log of the coordinator's store, and its checkpoints. A store that an embedding
// program supplies has no such metrics.
func (e *exam) store(families map[string]*dto.MetricFamily) {
	value := func(name, label string) (sum float64) {
		for _, m := range families[name].GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return sum
	}
	const runbook = "; see docs/RUNBOOK.md#amendscheckpointsbehind"
	if families["amends_store_log_segments"] == nil {
		return
	}
	used, spare := value("amends_store_log_segments", "used"), value("amends_store_log_segments", "spare")
	behind, lag := value("amends_store_log_behind_bytes", ""), value("amends_store_checkpoint_lag_seconds", "")
	grade := func(bad bool) Grade {
		if bad {
			return Warning
		}
		return OK
	}
	e.add("log of the store", grade(used > maxUsed || behind > maxBehind),
		fmt.Sprintf("%s in use and %.0f spare, %.0f KiB ahead of the state", plural.Of(int(used), "segment", "segments"), spare, behind/1024),
		"check the disk: checkpoints are slower than commits, or a damaged saga keeps the log from being released"+runbook)
	found := "everything is written to the state"
	if lag > 0 {
		found = fmt.Sprintf("the oldest change that is not written to the state is %.0f s old", lag)
	}
	e.add("checkpoints", grade(lag > maxLag), found, "check whether the disk is slow or full"+runbook)
	waiting := ""
	for _, m := range families["amends_store_commits_waiting"].GetMetric() {
		if m.GetGauge().GetValue() > 0 {
			waiting = m.GetLabel()[0].GetValue()
		}
	}
	if waiting == "" {
		e.add("commits", OK, "do not wait", "")
	} else {
		e.add("commits", Problem, "wait: "+waiting, "free space on the disk of the data directory, or move the directory to a faster disk; see docs/RUNBOOK.md#amendsstorewaits")
	}
	if torn := value("amends_store_log_torn_bytes", ""); torn > 0 {
		e.add("end of the log", OK, fmt.Sprintf("the last start discarded an incomplete record of %s, which was never acknowledged", plural.Of(int(torn), "byte", "bytes")), "")
	} else {
		e.add("end of the log", OK, "the last start found no incomplete record", "")
	}
}
