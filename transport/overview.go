package transport

import "time"

// Overview summarises the coordinator's state. Counters start at Since. Rates cover the last ten
// seconds.
type Overview struct {
	At                  time.Time           `json:"at"`
	Version             string              `json:"version,omitempty"`
	Since               time.Time           `json:"since"`
	Ready               bool                `json:"ready"`
	NotReady            string              `json:"not_ready,omitempty"`     // reason; "" if the coordinator is ready
	Open                int                 `json:"open"`                    // sagas that have not ended
	Parked              int                 `json:"parked"`                  // open sagas that wait for an operator
	Paused              int                 `json:"paused"`                  // sagas paused by an operator; -1: unknown
	Blocked             int                 `json:"blocked"`                 // sagas that cannot proceed; see BlockedSaga
	BlockedSagas        []BlockedSaga       `json:"blocked_sagas,omitempty"` // at most 20 of the blocked sagas
	Standstills         []Standstill        `json:"standstills,omitempty"`   // oldest first
	DeadLetters         int64               `json:"dead_letters"`            // stored dead letters; -1 means unknown
	DeadLettersDropped  int64               `json:"dead_letters_dropped"`    // dead letters lost since Since; see Load.Dropped
	Outbox              int                 `json:"outbox"`                  // messages that the bus has not accepted yet
	OutboxOldestSeconds float64             `json:"outbox_oldest_seconds,omitempty"`
	Counts              []Count             `json:"counts,omitempty"`
	CacheHitRatio       float64             `json:"cache_hit_ratio"` // 0 to 1
	StartedPerSecond    float64             `json:"started_per_second"`
	RefusedPerSecond    float64             `json:"refused_per_second"` // starts refused because of a limit
	EndedPerSecond      float64             `json:"ended_per_second"`
	TransitionsPerSec   float64             `json:"transitions_per_second"`
	CompensatedShare    float64             `json:"compensated_share"` // ended sagas that did not complete; 0 to 1
	FailedShare         float64             `json:"failed_share"`      // share of failures in the answers; 0 to 1
	Durations           []DefinitionLatency `json:"durations,omitempty"`
	Series              []Second            `json:"series,omitempty"` // the last two minutes, oldest first, including idle seconds
	Commit              *Latency            `json:"commit,omitempty"` // duration of deciding and committing a batch
	Owner               *OwnerStatus        `json:"owner,omitempty"`  // owner of the prefix; nil without claims
	NATS                string              `json:"nats,omitempty"`   // the bus's address, without passwords
}

// OwnerStatus describes which store owns a prefix, and whether its claim is confirmed.
type OwnerStatus struct {
	Prefix   string    `json:"prefix"`
	Store    string    `json:"store,omitempty"`   // owner according to the claim on the bus; "" if not known yet
	Claim    uint64    `json:"claim,omitempty"`   // number of that claim
	Host     string    `json:"host,omitempty"`    // host of its coordinator
	Address  string    `json:"address,omitempty"` // API address of its coordinator
	Since    time.Time `json:"since,omitzero"`    // when it took the claim, by that coordinator's clock
	Ours     bool      `json:"ours"`              // whether the claim belongs to the answering store
	Sure     bool      `json:"sure"`              // whether the claim is confirmed, so that it sends and receives
	LastSure time.Time `json:"last_sure,omitzero"`
	Waiting  string    `json:"waiting,omitempty"`  // what the coordinator waits for if Ours or Sure is false
	Replaced bool      `json:"replaced,omitempty"` // whether another store has the prefix and this coordinator stops
}

// BlockedSaga is a saga that cannot proceed until its record is repaired or its definition is
// registered.
type BlockedSaga struct {
	Saga   string    `json:"saga"`
	Since  time.Time `json:"since"`  // when this coordinator noticed the problem
	Reason string    `json:"reason"` // what is damaged or missing
}

// Latency is a distribution of durations.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_seconds"`
	P99   float64 `json:"p99_seconds"`
}

// DefinitionLatency is the duration of a definition's sagas, over all versions.
type DefinitionLatency struct {
	Definition string  `json:"definition"`
	Duration   Latency `json:"duration"`
}

// Second counts the events of one second.
type Second struct {
	At          time.Time `json:"at"`
	Started     int64     `json:"started,omitempty"`
	Refused     int64     `json:"refused,omitempty"` // starts refused because of a limit
	Completed   int64     `json:"completed,omitempty"`
	Compensated int64     `json:"compensated,omitempty"`
	Parked      int64     `json:"parked,omitempty"`
	Failed      int64     `json:"failed,omitempty"` // answers that report a failure
	Transitions int64     `json:"transitions,omitempty"`
}

// ParticipantsReply lists participants by name. It includes those of registered definitions, those
// with a subscription on the bus, and those that have answered.
type ParticipantsReply struct {
	Participants []ParticipantStatus `json:"participants"`
}

// ParticipantStatus describes a participant as the coordinator sees it.
type ParticipantStatus struct {
	Name        string    `json:"name"`
	LastAnswer  time.Time `json:"last_answer,omitzero"`
	Waiting     int64     `json:"waiting"`     // commands on the bus that are not delivered yet
	InFlight    int64     `json:"in_flight"`   // commands delivered but not acknowledged
	Redelivered int64     `json:"redelivered"` // commands in flight that had been delivered before
	Listening   bool      `json:"listening"`   // whether it is pulling commands or has received one moments ago
	Answers     int64     `json:"answers"`
	Latency     *Latency  `json:"latency,omitempty"` // time from the commit that enqueues a command to the answer
	Actions     []string  `json:"actions,omitempty"` // actions used by registered definitions
	Unknown     bool      `json:"unknown,omitempty"` // whether the bus has no subscription with this name
}

// StepFigures counts a step's outcomes since the coordinator started.
type StepFigures struct {
	Step      string   `json:"step"`
	Completed int64    `json:"completed"`
	Rejected  int64    `json:"rejected"`
	Failed    int64    `json:"failed"`
	Do        *Latency `json:"do,omitempty"`
	Undo      *Latency `json:"undo,omitempty"`
}
