package transport

import "time"

// Overview is the coordinator at a glance. What is counted is counted since Since;
// rates are of the last ten seconds.
type Overview struct {
	At                  time.Time           `json:"at"`
	Version             string              `json:"version,omitempty"`
	Since               time.Time           `json:"since"`
	Ready               bool                `json:"ready"`
	NotReady            string              `json:"not_ready,omitempty"`     // why not
	Open                int                 `json:"open"`                    // sagas that have not ended
	Parked              int                 `json:"parked"`                  // of them, those that wait for an operator
	Paused              int                 `json:"paused"`                  // sagas that an operator holds; -1: not all have been looked at yet
	Blocked             int                 `json:"blocked"`                 // sagas that were met and could not be moved: their record is damaged, or their definition is gone
	BlockedSagas        []BlockedSaga       `json:"blocked_sagas,omitempty"` // the first of them, at most 20
	Standstills         []Standstill        `json:"standstills,omitempty"`   // what does not move although it should, the oldest first
	DeadLetters         int64               `json:"dead_letters"`            // that are kept; -1: the bus does not tell
	DeadLettersDropped  int64               `json:"dead_letters_dropped"`    // that were not kept since Since: beyond their participant's rate or share, or the stream did not take them
	Outbox              int                 `json:"outbox"`                  // messages that the bus has not accepted yet
	OutboxOldestSeconds float64             `json:"outbox_oldest_seconds,omitempty"`
	Counts              []Count             `json:"counts,omitempty"`
	CacheHitRatio       float64             `json:"cache_hit_ratio"` // 0 to 1
	StartedPerSecond    float64             `json:"started_per_second"`
	RefusedPerSecond    float64             `json:"refused_per_second"` // starts that were too much
	EndedPerSecond      float64             `json:"ended_per_second"`
	TransitionsPerSec   float64             `json:"transitions_per_second"`
	CompensatedShare    float64             `json:"compensated_share"` // of the sagas that ended, those that did not complete; 0 to 1
	FailedShare         float64             `json:"failed_share"`      // of the answers, those that failed; 0 to 1
	Durations           []DefinitionLatency `json:"durations,omitempty"`
	Series              []Second            `json:"series,omitempty"` // the last two minutes, oldest first; seconds in which nothing happened too
	Commit              *Latency            `json:"commit,omitempty"` // of a batch: to decide and to commit it
	Owner               *OwnerStatus        `json:"owner,omitempty"`  // whose the prefix is; nil: prefixes are not claimed
	NATS                string              `json:"nats,omitempty"`   // where the bus is reached, without passwords
}

// OwnerStatus is whose a prefix is, and how certain that is.
type OwnerStatus struct {
	Prefix   string    `json:"prefix"`
	Store    string    `json:"store,omitempty"`   // whose claim is on the bus; "": it is not known yet
	Claim    uint64    `json:"claim,omitempty"`   // its number
	Host     string    `json:"host,omitempty"`    // where its coordinator runs
	Address  string    `json:"address,omitempty"` // of that coordinator's API
	Since    time.Time `json:"since,omitzero"`    // by that machine's clock
	Ours     bool      `json:"ours"`              // it is the claim of the store that answers
	Sure     bool      `json:"sure"`              // and that is certain now: it sends and takes
	LastSure time.Time `json:"last_sure,omitzero"`
	Waiting  string    `json:"waiting,omitempty"`  // what is waited for while it is not ours, or not certain
	Replaced bool      `json:"replaced,omitempty"` // another store has taken the prefix over: this coordinator ends
}

// BlockedSaga is a saga that cannot be moved until somebody has fixed what it
// needs.
type BlockedSaga struct {
	Saga   string    `json:"saga"`
	Since  time.Time `json:"since"`  // when this coordinator met it
	Reason string    `json:"reason"` // what is damaged or missing
}

// Latency is a distribution of durations.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_seconds"`
	P99   float64 `json:"p99_seconds"`
}

// DefinitionLatency is how long the sagas of a definition took, all versions
// together.
type DefinitionLatency struct {
	Definition string  `json:"definition"`
	Duration   Latency `json:"duration"`
}

// Second is what happened in one second.
type Second struct {
	At          time.Time `json:"at"`
	Started     int64     `json:"started,omitempty"`
	Refused     int64     `json:"refused,omitempty"` // starts that were too much
	Completed   int64     `json:"completed,omitempty"`
	Compensated int64     `json:"compensated,omitempty"`
	Parked      int64     `json:"parked,omitempty"`
	Failed      int64     `json:"failed,omitempty"` // answers
	Transitions int64     `json:"transitions,omitempty"`
}

// ParticipantsReply is the participants, by name: those of registered definitions,
// those that the bus knows, and those that have answered.
type ParticipantsReply struct {
	Participants []ParticipantStatus `json:"participants"`
}

// ParticipantStatus is a service as the coordinator sees it.
type ParticipantStatus struct {
	Name        string    `json:"name"`
	LastAnswer  time.Time `json:"last_answer,omitzero"`
	Waiting     int64     `json:"waiting"`     // commands on the bus that it has not fetched
	InFlight    int64     `json:"in_flight"`   // commands that it has fetched and not acknowledged
	Redelivered int64     `json:"redelivered"` // of those, how many were delivered before
	Listening   bool      `json:"listening"`   // it asks the bus for commands now, or was given one a moment ago
	Answers     int64     `json:"answers"`
	Latency     *Latency  `json:"latency,omitempty"` // from the commit that enqueued a command to the answer
	Actions     []string  `json:"actions,omitempty"` // that registered definitions ask of it
	Unknown     bool      `json:"unknown,omitempty"` // the bus has no subscription of this name: it was never there
}

// StepFigures is how a step fares since the coordinator started.
type StepFigures struct {
	Step      string   `json:"step"`
	Completed int64    `json:"completed"`
	Rejected  int64    `json:"rejected"`
	Failed    int64    `json:"failed"`
	Do        *Latency `json:"do,omitempty"`
	Undo      *Latency `json:"undo,omitempty"`
}
