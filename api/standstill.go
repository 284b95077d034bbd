package api

// StandstillKind is the kind of object that makes no progress.
type StandstillKind string

// The kinds are a closed set, in the order of the table in docs/OPERATING.md.
const (
	// StandstillBus means that the bus is unreachable, or that a stream is missing or misconfigured.
	StandstillBus StandstillKind = "bus"
	// StandstillOwner means that this store's claim on the prefix is not confirmed.
	StandstillOwner StandstillKind = "owner"
	// StandstillStore means that the store accepts no commits, or does not respond.
	StandstillStore StandstillKind = "store"
	// StandstillShard means that a shard of the coordinator does not finish its decisions or commits.
	StandstillShard StandstillKind = "shard"
	// StandstillTimers means that timers are due but do not fire.
	StandstillTimers StandstillKind = "timers"
	// StandstillAnswers means that answers on the bus are not delivered to the coordinator.
	StandstillAnswers StandstillKind = "answers"
	// StandstillCommands means that the bus refuses a participant's commands.
	StandstillCommands StandstillKind = "commands"
	// StandstillParticipant means that a participant does not fetch or answer its commands.
	StandstillParticipant StandstillKind = "participant"
	// StandstillLifecycle means that the bus refuses announcements.
	StandstillLifecycle StandstillKind = "lifecycle"
	// StandstillRetention means that sagas that ended long ago are not removed, because the clock was
	// set.
	StandstillRetention StandstillKind = "retention"
	// StandstillSagas means that sagas cannot proceed because of damaged records or missing
	// definitions.
	StandstillSagas StandstillKind = "sagas"
)

// StandstillKinds lists all kinds.
var StandstillKinds = []StandstillKind{
	StandstillBus, StandstillOwner, StandstillStore, StandstillShard, StandstillTimers, StandstillAnswers,
	StandstillCommands, StandstillParticipant, StandstillLifecycle, StandstillRetention, StandstillSagas,
}

// String returns one sentence with the object, the reason and the fix.
func (s *Standstill) String() string {
	text := string(s.Kind)
	if s.Object != "" {
		text += " " + s.Object
	}
	return text + ": " + s.Reason + "; " + s.Fix
}
