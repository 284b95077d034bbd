package api

// StandstillKind is the kind of object that makes no progress.
type StandstillKind string

// The kinds are a closed set, in the order of the table in docs/OPERATING.md.
const (
	// StandsBus means that the bus is unreachable, or that a stream is missing or misconfigured.
	StandsBus StandstillKind = "bus"
	// StandsOwner means that this store's claim on the prefix is not confirmed.
	StandsOwner StandstillKind = "owner"
	// StandsStore means that the store accepts no commits, or does not respond.
	StandsStore StandstillKind = "store"
	// StandsShard means that a shard of the coordinator does not finish its decisions or commits.
	StandsShard StandstillKind = "shard"
	// StandsTimers means that timers are due but do not fire.
	StandsTimers StandstillKind = "timers"
	// StandsAnswers means that answers on the bus are not delivered to the coordinator.
	StandsAnswers StandstillKind = "answers"
	// StandsCommands means that the bus refuses a participant's commands.
	StandsCommands StandstillKind = "commands"
	// StandsParticipant means that a participant does not fetch or answer its commands.
	StandsParticipant StandstillKind = "participant"
	// StandsLifecycle means that the bus refuses announcements.
	StandsLifecycle StandstillKind = "lifecycle"
	// StandsRetention means that sagas that ended long ago are not removed, because the clock was
	// set.
	StandsRetention StandstillKind = "retention"
	// StandsSagas means that sagas cannot proceed because of damaged records or missing
	// definitions.
	StandsSagas StandstillKind = "sagas"
)

// StandstillKinds lists all kinds.
var StandstillKinds = []StandstillKind{
	StandsBus, StandsOwner, StandsStore, StandsShard, StandsTimers, StandsAnswers, StandsCommands, StandsParticipant, StandsLifecycle, StandsRetention, StandsSagas,
}

// String returns one sentence with the object, the reason and the fix.
func (s *Standstill) String() string {
	text := string(s.Kind)
	if s.Object != "" {
		text += " " + s.Object
	}
	return text + ": " + s.Reason + "; " + s.Fix
}
