package observe

import (
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/saga/machine"
)

// The metrics. Seconds and counts are base units; a name is never reused with
// another meaning.
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
	SagasBlocked         = "amends_sagas_blocked"
	StoreDamaged         = "amends_store_damaged_records"
	CacheHits            = "amends_cache_hits_total"
	CacheMisses          = "amends_cache_misses_total"
	SpansExported        = "amends_trace_spans_exported_total"
	SpansDropped         = "amends_trace_spans_dropped_total"
	Ready                = "amends_ready"
	BuildInfo            = "amends_build_info"
	TracesDropped        = "amends_trace_contexts_dropped_total"
	DeadDropped          = "amends_dead_letters_dropped_total"
)

// The labels.
const (
	LabelDefinition  = "definition" // name without version; "other" beyond MaxDefinitions
	LabelPhase       = "phase"      // see contract.Phase
	LabelStep        = "step"
	LabelDirection   = "direction" // do, undo
	LabelEvent       = "event"     // see contract.EventType
	LabelReason      = "reason"    // a closed set: see machine.Ignored and the coordinator's dead-letter reasons
	LabelKind        = "kind"
	LabelParticipant = "participant" // "other" beyond MaxParticipants
	LabelStream      = "stream"      // see transport.Stream
	LabelVersion     = "version"
	LabelGoVersion   = "goversion"
)

// MaxDefinitions bounds the distinct values of the label definition in one
// process (I10).
const MaxDefinitions = 256

// MaxParticipants bounds the distinct values of the label participant in one
// process (I10).
const MaxParticipants = 256

// Other is the label value of what lies beyond MaxDefinitions or MaxParticipants.
const Other = "other"

// Why a dead letter was not kept: values of the label reason of DeadDropped.
const (
	DroppedByRate   = "rate"     // beyond natsbus.LetterRate and LetterBurst of its participant
	DroppedUnstored = "unstored" // the stream did not take it, or too many waited for it
	DroppedByRing   = "ring"     // the oldest of a participant whose share of the stream was full
)

// The values of the label reason.
var (
	deadLetterReasons = []string{
		coordinator.DeadLetterMalformed, coordinator.DeadLetterSubject, coordinator.DeadLetterType, coordinator.DeadLetterUnknown,
		coordinator.DeadLetterStep, coordinator.DeadLetterSender, coordinator.DeadLetterOversize, coordinator.DeadLetterDamaged,
		coordinator.DeadLetterContradiction,
	}
	dropReasons    = []string{DroppedByRate, DroppedUnstored, DroppedByRing}
	limits         = []string{coordinator.LimitOpen, coordinator.LimitBacklog, coordinator.LimitWaiting}
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

// Catalogue lists every metric of this package, in the order of the
// documentation.
func Catalogue() []Metric {
	definition := []string{LabelDefinition}
	return []Metric{
		{SagasStarted, "counter", definition, "Sagas that were started: their first commit is on disk."},
		{StartsRefused, "counter", []string{LabelReason}, "Starts that were refused because they were too much, by the limit that they met: open (max-open), backlog of messages to the bus, inputs waiting. Who is refused comes back later, and may be refused again."},
		{SagasEnded, "counter", []string{LabelDefinition, LabelPhase}, "Sagas that ended; phase parked means that an operator abandoned them."},
		{SagasOpen, "gauge", []string{LabelDefinition, LabelPhase}, "Sagas that have not ended."},
		{SagasParked, "gauge", nil, "Open sagas that wait for an operator. Anything above zero wants a person."},
		{SagasBlocked, "gauge", nil, "Sagas that were met and could not be moved: their record is damaged, or their definition is gone. At most 1,000 are counted."},
		{SagaDuration, "histogram", []string{LabelDefinition, LabelPhase}, "From a saga's start to its end."},
		{StepDuration, "histogram", []string{LabelDefinition, LabelStep, LabelDirection}, "From the commit that enqueued a step's command to its answer; attempts that time out are not in it."},
		{Transitions, "counter", []string{LabelDefinition, LabelEvent}, "Events that moved a saga."},
		{EventsIgnored, "counter", []string{LabelReason}, "Events that changed nothing: late, repeated or foreign ones."},
		{DeadLetters, "counter", []string{LabelReason}, "Messages that belong into the dead-letter stream. Reason contradiction is a step that was rejected and then reported as completed: an effect that nobody takes back, and one is one too many."},
		{DeadDropped, "counter", []string{LabelReason}, "Dead letters that were not kept: reason rate, beyond what one participant may have in a second; reason unstored, the stream did not take them; reason ring, the oldest of a participant whose share of the stream was full."},
		{CommitDuration, "histogram", nil, "One commit to the store, fsync included."},
		{CommitSagas, "histogram", nil, "Sagas that one commit moved."},
		{Published, "counter", nil, "Messages that the bus accepted, repeated ones included."},
		{ClockSteps, "counter", nil, "How often the wall clock of the machine was set; the open sagas are retimed then, and retention waits for 24 h."},
		{TimersOvertook, "counter", nil, "How often timers went on although answers had lain on the bus for 30 s and were not taken in: attempts may have timed out that were answered."},
		{AnnouncementsDropped, "counter", nil, "Announcements on the lifecycle stream that were given up: the bus never takes them, or has taken none for so long that too many waited."},
		{PublishFailed, "counter", nil, "Messages that the bus refused or did not accept in time; they are sent again."},
		{StoreDamaged, "gauge", nil, "Damaged records that the store has met since its start, each once, without those of sagas that were removed for it. At most 10,000 are counted."},
		{Standstills, "gauge", []string{LabelKind}, "What does not move although it should, by kind (docs/OPERATING.md). Anything above zero wants a person."},
		{OutboxBacklog, "gauge", nil, "Messages that are pending and not sent yet."},
		{OutboxOldest, "gauge", nil, "Age of the oldest message that is pending and not sent yet; 0 when there is none."},
		{Pending, "gauge", []string{LabelParticipant}, "Commands on the bus that the participant has not been given."},
		{InFlight, "gauge", []string{LabelParticipant}, "Commands that the participant was given and has not answered."},
		{BusMessages, "gauge", []string{LabelStream}, "Messages in the stream; commands and events are gone when they were answered."},
		{BusBytes, "gauge", []string{LabelStream}, "Bytes in the stream."},
		{BusReconnects, "counter", nil, "Connections of the coordinator to NATS after the first."},
		{BusResets, "counter", nil, "Times that the bus may have lost messages, and everything pending was sent again."},
		{Redeliveries, "counter", nil, "Answers that the coordinator was given again."},
		{CacheHits, "counter", nil, "Events whose saga was in memory."},
		{CacheMisses, "counter", nil, "Events whose saga had to be read from the store."},
		{TracesDropped, "counter", nil, "Requests and answers whose trace context was not, or not all of it, W3C's, or a tracestate of more than 512 bytes: that was dropped, and the message went on."},
		{SpansExported, "counter", nil, "Spans that the collector took; 0 while nobody traces."},
		{SpansDropped, "counter", []string{LabelReason}, "Spans that were lost: reason queue, there was no room; reason collector, it did not take them."},
		{Ready, "gauge", nil, "1 when the coordinator takes work, 0 when it does not."},
		{BuildInfo, "gauge", []string{LabelVersion, LabelGoVersion}, "Always 1; the labels say what runs."},
	}
}

// help is the help text of a metric of the catalogue.
func help(name string) string {
	for _, m := range Catalogue() {
		if m.Name == name {
			return m.Help
		}
	}
	panic("observe: " + name + " is not in the catalogue")
}
