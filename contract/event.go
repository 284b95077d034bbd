package contract

// EventType is what happened to a saga.
type EventType string

// The events of a history.
const (
	EventStarted        EventType = "started"         // the first event of every saga
	EventStepAnswered   EventType = "step_answered"   // a participant's answer, or the bus's in its place
	EventTimerFired     EventType = "timer_fired"     // one timer of the saga was due
	EventOperationTaken EventType = "operation_taken" // a person's decision
	EventClockAdjusted  EventType = "clock_adjusted"  // the wall clock of the coordinator was set
)

// Timer is what a saga waits for the time to come for.
type Timer string

// The timers.
const (
	TimerTimeout  Timer = "timeout"  // the attempt was not answered in time
	TimerRetry    Timer = "retry"    // the wait after the attempt is over: the next one goes out
	TimerDeadline Timer = "deadline" // the saga should have ended
)
