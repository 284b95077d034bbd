package contract

// EventType is the type of an event in a saga's history.
type EventType string

// The event types.
const (
	EventStarted        EventType = "started"         // the first event of every saga
	EventStepAnswered   EventType = "step_answered"   // a participant's answer, or the bus's refusal of the command
	EventTimerFired     EventType = "timer_fired"     // one of the saga's timers fired
	EventOperationTaken EventType = "operation_taken" // an operator's decision
	EventClockAdjusted  EventType = "clock_adjusted"  // the coordinator's wall clock was set
)

// Timer is the kind of a saga's timer.
type Timer string

// The kinds of timer.
const (
	TimerTimeout  Timer = "timeout"  // the attempt timed out
	TimerRetry    Timer = "retry"    // the backoff is over: start the next attempt
	TimerDeadline Timer = "deadline" // the saga's deadline has passed
)
