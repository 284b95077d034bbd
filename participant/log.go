package participant

import (
	"log/slog"

	"github.com/amends-dev/amends/transport"
)

// Keys of log attributes.
const (
	LogParticipant = "participant"
	LogAction      = "action"
	LogSaga        = "saga"
	LogStep        = "step"
	LogDirection   = "direction"
	LogAttempt     = "attempt"
	LogOutcome     = "outcome"
	LogReason      = "reason"
	LogFinal       = "final"
	LogCalled      = "called" // whether the handler ran; otherwise the inbox has answered
	LogTook        = "took"
	LogStack       = "stack"
	LogError       = "error"
	LogCount       = "count"
	LogTrace       = "trace_id" // W3C trace id of the command, if it has one
)

// log returns a logger with the attributes of one message.
func (p *Participant[Tx]) log(e *transport.Envelope) *slog.Logger {
	l := p.options.logger.With(LogParticipant, p.name, LogSaga, string(e.Saga), LogStep, string(e.Step),
		LogDirection, string(e.Direction), LogAttempt, e.Attempt)
	if id := e.TraceID(); id != "" {
		l = l.With(LogTrace, id)
	}
	return l
}
