package sagapb

import (
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
)

// The closed sets of package saga. A test reads the constants of saga's source
// and fails if one is not here.
var (
	causeKinds = protoconv.NewWords("kind of cause", map[saga.CauseKind]amendsv1.CauseKind{
		saga.CauseRejected:      amendsv1.CauseKind_CAUSE_KIND_REJECTED,
		saga.CauseExhausted:     amendsv1.CauseKind_CAUSE_KIND_EXHAUSTED,
		saga.CauseMappingFailed: amendsv1.CauseKind_CAUSE_KIND_MAPPING_FAILED,
		saga.CauseDeadline:      amendsv1.CauseKind_CAUSE_KIND_DEADLINE,
		saga.CauseCancelled:     amendsv1.CauseKind_CAUSE_KIND_CANCELLED,
		saga.CauseOperator:      amendsv1.CauseKind_CAUSE_KIND_OPERATOR,
	})
	eventTypes = protoconv.NewWords("type of event", map[saga.EventType]amendsv1.EventType{
		saga.Started:        amendsv1.EventType_EVENT_TYPE_STARTED,
		saga.StepAnswered:   amendsv1.EventType_EVENT_TYPE_STEP_ANSWERED,
		saga.TimerFired:     amendsv1.EventType_EVENT_TYPE_TIMER_FIRED,
		saga.OperationTaken: amendsv1.EventType_EVENT_TYPE_OPERATION_TAKEN,
		saga.ClockAdjusted:  amendsv1.EventType_EVENT_TYPE_CLOCK_ADJUSTED,
	})
	timers = protoconv.NewWords("timer", map[saga.Timer]amendsv1.Timer{
		saga.TimerTimeout:  amendsv1.Timer_TIMER_TIMEOUT,
		saga.TimerRetry:    amendsv1.Timer_TIMER_RETRY,
		saga.TimerDeadline: amendsv1.Timer_TIMER_DEADLINE,
	})
	operations = protoconv.NewWords("operation", map[saga.Operation]amendsv1.Operation{
		saga.OperationCancel:     amendsv1.Operation_OPERATION_CANCEL,
		saga.OperationRetry:      amendsv1.Operation_OPERATION_RETRY,
		saga.OperationResolve:    amendsv1.Operation_OPERATION_RESOLVE,
		saga.OperationSkip:       amendsv1.Operation_OPERATION_SKIP,
		saga.OperationCompensate: amendsv1.Operation_OPERATION_COMPENSATE,
		saga.OperationAbandon:    amendsv1.Operation_OPERATION_ABANDON,
		saga.OperationPause:      amendsv1.Operation_OPERATION_PAUSE,
		saga.OperationResume:     amendsv1.Operation_OPERATION_RESUME,
	})
	kinds = protoconv.NewWords("kind", map[saga.Kind]amendsv1.Kind{
		saga.KindCompensable: amendsv1.Kind_KIND_COMPENSABLE,
		saga.KindPivot:       amendsv1.Kind_KIND_PIVOT,
		saga.KindRetriable:   amendsv1.Kind_KIND_RETRIABLE,
	})
	schemaKinds = protoconv.NewWords("kind of value", map[saga.SchemaKind]amendsv1.SchemaKind{
		saga.SchemaAny:    amendsv1.SchemaKind_SCHEMA_KIND_ANY,
		saga.SchemaObject: amendsv1.SchemaKind_SCHEMA_KIND_OBJECT,
		saga.SchemaMap:    amendsv1.SchemaKind_SCHEMA_KIND_MAP,
		saga.SchemaList:   amendsv1.SchemaKind_SCHEMA_KIND_LIST,
		saga.SchemaString: amendsv1.SchemaKind_SCHEMA_KIND_STRING,
		saga.SchemaTime:   amendsv1.SchemaKind_SCHEMA_KIND_TIME,
		saga.SchemaBytes:  amendsv1.SchemaKind_SCHEMA_KIND_BYTES,
		saga.SchemaInt:    amendsv1.SchemaKind_SCHEMA_KIND_INT,
		saga.SchemaDouble: amendsv1.SchemaKind_SCHEMA_KIND_DOUBLE,
		saga.SchemaBool:   amendsv1.SchemaKind_SCHEMA_KIND_BOOL,
	})
)
