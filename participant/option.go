package participant

import (
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
)

// Option sets an option of a participant. Every option has a default.
type Option func(*options)

type options struct {
	subjects       transport.Subjects
	concurrency    int
	ackWait        time.Duration
	maxInFlight    int
	gracePeriod    time.Duration
	handlerTimeout time.Duration
	retention      time.Duration
	logger         *slog.Logger
	onAnswer       func(Report)
	tracer         Tracer // nil means no tracing
}

func defaults() options {
	return options{
		concurrency: 16,
		ackWait:     30 * time.Second,
		gracePeriod: 20 * time.Second,
		logger:      loglimit.Logger(slog.Default()),
		onAnswer:    func(Report) {},
	}
}

// Concurrency sets how many handlers run concurrently. The default is 16, the minimum 1. In
// addition, Run holds up to n commands that wait for a handler, and the bus buffers up to n more.
// The default is small because no other process can serve the waiting commands. If the bus supports
// it, up to n commands arrive in one message; they start and are acknowledged together.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = max(n, 1) }
}

// AckWait sets how long the bus waits for an acknowledgement before it redelivers a command. The
// default is 30 s, the minimum 1 ms. Run reports its commands to the bus as in progress, three
// times per AckWait. Therefore AckWait limits how late a crash of the process is detected, but not
// how long a handler may take. AckWait should exceed twice the time of a slow handler, because a
// command can wait that long in the bus's buffer before Run receives it. With a lower value,
// commands are delivered twice, which the inbox makes harmless.
func AckWait(d time.Duration) Option {
	return func(o *options) { o.ackWait = max(d, time.Millisecond) }
}

// MaxInFlight limits the unanswered commands in flight, over all processes of this participant. The
// default 0 means the bus's own limit. With a limit, each command is a separate message so that the
// bus can count it, which is more work for the bus. Commands that are handed back because of an
// unknown action use at most a quarter of the limit.
func MaxInFlight(n int) Option {
	return func(o *options) { o.maxInFlight = max(n, 0) }
}

// bundle returns the maximum number of commands in one message.
func (o *options) bundle() int {
	if o.maxInFlight > 0 {
		return 1
	}
	return o.concurrency
}

// returns returns the maximum number of commands that are handed back at the same time.
func (o *options) returns() int {
	if o.maxInFlight > 0 {
		return o.maxInFlight / 4
	}
	return busInFlight / 4
}

// GracePeriod sets how long handlers may continue, and answers may be published, after Run's
// context has ended. The default is 20 s. After that, the handlers' contexts are cancelled.
// Unanswered commands are redelivered.
func GracePeriod(d time.Duration) Option {
	return func(o *options) { o.gracePeriod = max(d, 0) }
}

// HandlerTimeout sets the timeout of a handler's context. The default 0 means no timeout. A handler
// that times out has failed and may be retried.
//
// A command's Expires does not cancel its handler, and an expired command is still served. Nobody
// waits for the answer of that attempt, but the next attempt gets the answer that this one records.
// Cancelling would discard work exactly when the participant is too slow.
func HandlerTimeout(d time.Duration) Option {
	return func(o *options) { o.handlerTimeout = max(d, 0) }
}

// Retention makes Run remove inbox entries older than d, once an hour. The default 0 means that
// entries are never removed. After an entry is removed, a late duplicate of its command would take
// effect again. Therefore d must exceed the life of the longest saga and the time for which the bus
// keeps a command. If a coordinator is restored from a backup older than d, the command
// "coordinator orphans" cannot find the removed entries.
func Retention(d time.Duration) Option {
	return func(o *options) { o.retention = max(d, 0) }
}

// SubjectPrefix sets the first token, or tokens, of every subject. The default is "saga".
func SubjectPrefix(prefix string) Option {
	return func(o *options) { o.subjects.Prefix = prefix }
}

// Logger sets the logger. It receives warnings and errors (at most one line of a kind in ten
// seconds) and, at debug level, every answer. The default is slog.Default(). The keys are saga,
// step, direction, attempt, action, participant, outcome, reason.
func Logger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = loglimit.Logger(l)
		}
	}
}

// OnAnswer sets a function that is called after every command, for metrics and traces. It must not
// block, and may be called concurrently.
func OnAnswer(f func(Report)) Option {
	return func(o *options) {
		if f != nil {
			o.onAnswer = f
		}
	}
}

// Report describes the result of a command.
type Report struct {
	Participant string
	Action      string
	Key         contract.Key
	Attempt     int
	Outcome     contract.Outcome // "" means no answer; the command is then dead-lettered unless HandedBack
	Reason      string           // reason of a rejection, a failure, or a missing answer
	HandedBack  bool             // whether the bus redelivers the command: its action is unknown or its sender was replaced
	Final       bool             // of a failure: whether retries are useless
	Called      bool             // whether the handler ran; otherwise the inbox has answered
	Took        time.Duration    // time from receiving the command to the commit
}
