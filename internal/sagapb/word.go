package sagapb

import (
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

// These are the closed sets of values of packages machine and contract. A test reads the constants
// in the source of both packages and fails if one is missing here.
var (
	causeKinds = protoconv.NewWords("kind of cause", map[machine.CauseKind]amendsv1.CauseKind{
		machine.CauseRejected:      amendsv1.CauseKind_CAUSE_KIND_REJECTED,
		machine.CauseExhausted:     amendsv1.CauseKind_CAUSE_KIND_EXHAUSTED,
		machine.CauseMappingFailed: amendsv1.CauseKind_CAUSE_KIND_MAPPING_FAILED,
		machine.CauseDeadline:      amendsv1.CauseKind_CAUSE_KIND_DEADLINE,
		machine.CauseCancelled:     amendsv1.CauseKind_CAUSE_KIND_CANCELLED,
		machine.CauseOperator:      amendsv1.CauseKind_CAUSE_KIND_OPERATOR,
	})
	eventTypes = protoconv.NewWords("type of event", map[contract.EventType]amendsv1.EventType{
		contract.EventStarted:        amendsv1.EventType_EVENT_TYPE_STARTED,
		contract.EventStepAnswered:   amendsv1.EventType_EVENT_TYPE_STEP_ANSWERED,
		contract.EventTimerFired:     amendsv1.EventType_EVENT_TYPE_TIMER_FIRED,
		contract.EventOperationTaken: amendsv1.EventType_EVENT_TYPE_OPERATION_TAKEN,
		contract.EventClockAdjusted:  amendsv1.EventType_EVENT_TYPE_CLOCK_ADJUSTED,
	})
	timers = protoconv.NewWords("timer", map[contract.Timer]amendsv1.Timer{
		contract.TimerTimeout:  amendsv1.Timer_TIMER_TIMEOUT,
		contract.TimerRetry:    amendsv1.Timer_TIMER_RETRY,
		contract.TimerDeadline: amendsv1.Timer_TIMER_DEADLINE,
	})
	operations = protoconv.NewWords("operation", map[contract.Operation]amendsv1.Operation{
		contract.OperationCancel:     amendsv1.Operation_OPERATION_CANCEL,
		contract.OperationRetry:      amendsv1.Operation_OPERATION_RETRY,
		contract.OperationResolve:    amendsv1.Operation_OPERATION_RESOLVE,
		contract.OperationSkip:       amendsv1.Operation_OPERATION_SKIP,
		contract.OperationCompensate: amendsv1.Operation_OPERATION_COMPENSATE,
		contract.OperationAbandon:    amendsv1.Operation_OPERATION_ABANDON,
		contract.OperationPause:      amendsv1.Operation_OPERATION_PAUSE,
		contract.OperationResume:     amendsv1.Operation_OPERATION_RESUME,
	})
)
