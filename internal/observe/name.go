package observe

import (
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/boltstore"
)

// The metrics, in base units (seconds, counts). A name is never reused with a different meaning.
const (
	SagasStarted         = "amends_sagas_started_total"
	StartsRefused        = "amends_starts_refused_total"
	SagasEnded           = "amends_sagas_ended_total"
	SagaDuration         = "amends_saga_duration_seconds"
	StepDuration         = "amends_step_duration_seconds"
	Transitions          = "amends_transitions_total"
	EventsIgnored        = "amends_events_ignored_total"
	DeadLetters          = "amends_dead_letters_total"
	CommitDuration       = "amends_commit_duration_seconds"
	CommitSagas          = "amends_commit_sagas"
	Published            = "amends_outbox_published_total"
	PublishFailed        = "amends_outbox_publish_failures_total"
	AnnouncementsDropped = "amends_announcements_dropped_total"
	ClockSteps           = "amends_clock_steps_total"
	TimersOvertook       = "amends_timers_overtook_answers_total"
	Standstills          = "amends_standstills"
	OutboxBacklog        = "amends_outbox_backlog"
	OutboxOldest         = "amends_outbox_oldest_age_seconds"
	Pending              = "amends_participant_pending"
	InFlight             = "amends_participant_in_flight"
	BusMessages          = "amends_bus_messages"
	BusBytes             = "amends_bus_bytes"
	BusReconnects        = "amends_bus_reconnects_total"
	BusResets            = "amends_bus_resets_total"
	Redeliveries         = "amends_bus_redeliveries_total"
	SagasOpen            = "amends_sagas_open"
	SagasParked          = "amends_sagas_parked"
	SagasOverdue         = "amends_sagas_overdue_total"
	SagasBlocked         = "amends_sagas_blocked"
	StoreDamaged         = "amends_store_damaged_records"
	LogRecords           = "amends_store_log_records_total"
	LogBytes             = "amends_store_log_bytes_total"
	LogSegments          = "amends_store_log_segments"
	LogBehind            = "amends_store_log_behind_bytes"
	LogTorn              = "amends_store_log_torn_bytes"
	Overlay              = "amends_store_overlay_bytes"
	Checkpoints          = "amends_store_checkpoints_total"
	CheckpointBytes      = "amends_store_checkpoint_bytes_total"
	CheckpointLag        = "amends_store_checkpoint_lag_seconds"
	CommitsWaiting       = "amends_store_commits_waiting"
	CacheHits            = "amends_cache_hits_total"
	CacheMisses          = "amends_cache_misses_total"
	SpansExported        = "amends_trace_spans_exported_total"
	SpansDropped         = "amends_trace_spans_dropped_total"
	Ready                = "amends_ready"
	BuildInfo            = "amends_build_info"
	TracesDropped        = "amends_trace_contexts_dropped_total"
	DeadDropped          = "amends_dead_letters_dropped_total"
)

// The labels of the metrics.
const (
	LabelDefinition  = "definition" // name without version; "other" beyond MaxDefinitions
	LabelPhase       = "phase"      // see contract.Phase
	LabelStep        = "step"
	LabelDirection   = "direction" // do, undo
	LabelEvent       = "event"     // see contract.EventType
	LabelReason      = "reason"    // a closed set: machine.Ignored, or the coordinator's dead-letter classes
	LabelKind        = "kind"
	LabelParticipant = "participant" // "other" beyond MaxParticipants
	LabelStream      = "stream"      // see transport.Stream
	LabelState       = "state"       // SegmentsUsed, SegmentsSpare
	LabelVersion     = "version"
	LabelGoVersion   = "goversion"
)

// The values of LabelState.
const (
	SegmentsUsed  = "used"
	SegmentsSpare = "spare"
)

// MaxDefinitions is the maximum number of values of the label definition in one process (I10).
const MaxDefinitions = 256

// MaxParticipants is the maximum number of values of the label participant in one process (I10).
const MaxParticipants = 256

// Other is the label value for definitions and participants beyond their limits.
const Other = "other"

// Values of the label reason of DeadDropped, which say why a dead letter was dropped.
const (
	DroppedByRate   = "rate"     // above natsbus.LetterRate and LetterBurst of its participant
	DroppedUnstored = "unstored" // the stream refused it, or too many dead letters waited for the stream
	DroppedByRing   = "ring"     // the oldest dead letter of a participant that had used up its share of the stream
)

// The values of the label reason.
var (
	deadLetterReasons = []string{
		coordinator.DeadLetterMalformed, coordinator.DeadLetterSubject, coordinator.DeadLetterType, coordinator.DeadLetterUnknown,
		coordinator.DeadLetterStep, coordinator.DeadLetterSender, coordinator.DeadLetterOversize, coordinator.DeadLetterDamaged,
		coordinator.DeadLetterContradiction,
	}
	waitingReasons = []boltstore.Waiting{boltstore.WaitingCheckpoint, boltstore.WaitingLogFull, boltstore.WaitingStateFull}
	dropReasons    = []string{DroppedByRate, DroppedUnstored, DroppedByRing}
	limits         = []string{coordinator.LimitOpen, coordinator.LimitBacklog, coordinator.LimitWaiting, coordinator.LimitDisk}
	ignoredReasons = []machine.Ignored{
		machine.IgnoredEnded, machine.IgnoredDuplicate, machine.IgnoredStale, machine.IgnoredEarly,
		machine.IgnoredNothing, machine.IgnoredDirection, machine.IgnoredStep, machine.IgnoredSender, machine.IgnoredContradiction,
	}
)

// Metric describes one metric, for the documentation.
type Metric struct {
	Name   string
	Type   string // counter, gauge, histogram
	Labels []string
	Help   string
}

// Catalogue lists every metric of this package, in the order of the documentation.
func Catalogue() []Metric {
	definition := []string{LabelDefinition}
	return []Metric{
		{SagasStarted, "counter", definition, "Started sagas, counted when they are on disk."},
		{StartsRefused, "counter", []string{LabelReason}, "Starts that were refused, by limit: open (max-open), backlog (messages to the bus), waiting (inputs) or disk (the disk of the store is full). A caller that retries may be counted several times."},
		{SagasEnded, "counter", []string{LabelDefinition, LabelPhase}, "Sagas that ended; phase parked means that an operator abandoned them."},
		{SagasOpen, "gauge", []string{LabelDefinition, LabelPhase}, "Sagas that have not ended."},
		{SagasParked, "gauge", nil, "Open sagas that wait for an operator. Act on any value above zero."},
		{SagasOverdue, "counter", definition, "Sagas whose deadline passed after the point of no return, so that they were not compensated. List those that have not ended with: coordinator list --overdue."},
		{SagasBlocked, "gauge", nil, "Sagas that cannot continue, because their record is damaged or their definition is missing. At most 1,000 are counted."},
		{SagaDuration, "histogram", []string{LabelDefinition, LabelPhase}, "Time from a saga's start to its end."},
		{StepDuration, "histogram", []string{LabelDefinition, LabelStep, LabelDirection}, "Time from the commit of a step's command to its answer, without attempts that timed out."},
		{Transitions, "counter", []string{LabelDefinition, LabelEvent}, "Events that changed a saga."},
		{EventsIgnored, "counter", []string{LabelReason}, "Events that changed nothing, because they were late, duplicates or of another saga."},
		{DeadLetters, "counter", []string{LabelReason}, "Messages that became dead letters, by reason. Reason contradiction: a step was rejected and later reported as completed, so its effect is not undone. Act on every contradiction."},
		{DeadDropped, "counter", []string{LabelReason}, "Dead letters that were dropped, by reason: rate (over the rate limit of their participant), unstored (the stream refused them) or ring (the oldest of a participant that had used up its share of the stream)."},
		{CommitDuration, "histogram", nil, "Duration of a commit to the store, including fsync."},
		{CommitSagas, "histogram", nil, "Sagas changed by one commit."},
		{Published, "counter", nil, "Messages that the bus accepted, including duplicates."},
		{ClockSteps, "counter", nil, "Changes of the machine's wall clock. After each one the timers of open sagas are recomputed, and retention pauses for 24 h."},
		{TimersOvertook, "counter", nil, "Times that timers fired although answers had waited on the bus for 30 s. Attempts may have timed out that were answered."},
		{AnnouncementsDropped, "counter", nil, "Lifecycle events that were dropped, because the bus refused them, or accepted none until too many waited."},
		{PublishFailed, "counter", nil, "Messages that the bus refused or did not accept in time. They are sent again."},
		{StoreDamaged, "gauge", nil, "Damaged records found in the store since the start, without those of removed sagas. At most 10,000 are counted."},
		{LogRecords, "counter", nil, "Records appended to the log of the store, each with one fsync."},
		{LogBytes, "counter", nil, "Bytes written to the log of the store."},
		{LogSegments, "gauge", []string{LabelState}, "Files of the log, by state: used (they hold records that the state lacks, or that are kept because of a damaged saga) or spare."},
		{LogBehind, "gauge", nil, "Size of the records since the last checkpoint, which the state does not have yet. A checkpoint begins at 32 MiB; at 64 MiB, commits wait. A log that is kept because of a damaged saga does not count: see amends_store_log_segments."},
		{LogTorn, "gauge", nil, "Bytes of an incomplete record at the end of the log that the last start discarded. It was never acknowledged. A record of which not even the beginning was written counts as 0."},
		{Overlay, "gauge", nil, "Size of the changes that the store keeps in memory until a checkpoint has written them. A checkpoint begins at 32 MiB; at 64 MiB, commits wait."},
		{Checkpoints, "counter", nil, "Completed checkpoints: the state then has everything that the log had when the checkpoint began."},
		{CheckpointBytes, "counter", nil, "Bytes that checkpoints wrote to the state."},
		{CheckpointLag, "gauge", nil, "Age of the oldest change that no checkpoint has written to the state; 0 if there is none. Usually it stays below 20 s."},
		{CommitsWaiting, "gauge", []string{LabelReason}, "1 while commits wait, by reason: checkpoint (checkpoints are slower than commits), log_full (the disk has no room for the log) or state_full (it has none for a checkpoint, and the overlay is full)."},
		{Standstills, "gauge", []string{LabelKind}, "Standstills by kind: objects that should make progress but do not (docs/OPERATING.md). Act on any value above zero."},
		{OutboxBacklog, "gauge", nil, "Messages that wait to be published."},
		{OutboxOldest, "gauge", nil, "Age of the oldest message that waits to be published; 0 if there is none."},
		{Pending, "gauge", []string{LabelParticipant}, "Commands on the bus that were not delivered to the participant yet."},
		{InFlight, "gauge", []string{LabelParticipant}, "Commands that were delivered to the participant and are not answered yet."},
		{BusMessages, "gauge", []string{LabelStream}, "Messages in the stream. Commands and events are removed once they are processed."},
		{BusBytes, "gauge", []string{LabelStream}, "Bytes in the stream."},
		{BusReconnects, "counter", nil, "Reconnects of the coordinator to NATS."},
		{BusResets, "counter", nil, "Times that the bus may have lost messages, so that all pending messages were sent again."},
		{Redeliveries, "counter", nil, "Answers that were redelivered to the coordinator."},
		{CacheHits, "counter", nil, "Events whose saga was in memory."},
		{CacheMisses, "counter", nil, "Events whose saga had to be read from the store."},
		{TracesDropped, "counter", nil, "Requests and answers with an invalid W3C trace context, or a tracestate over 512 bytes. It was dropped, and the message was processed."},
		{SpansExported, "counter", nil, "Spans that the collector accepted; 0 if tracing is off."},
		{SpansDropped, "counter", []string{LabelReason}, "Spans that were lost, by reason: queue (it was full) or collector (it refused them or did not answer)."},
		{Ready, "gauge", nil, "1 if the coordinator is ready, 0 if not."},
		{BuildInfo, "gauge", []string{LabelVersion, LabelGoVersion}, "Always 1, with the version in the labels."},
	}
}

// help returns the help text of a metric.
func help(name string) string {
	for _, m := range Catalogue() {
		if m.Name == name {
			return m.Help
		}
	}
	panic("observe: " + name + " is not in the catalogue")
}
