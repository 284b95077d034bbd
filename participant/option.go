package participant

import (
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
)

// Option changes how a participant works. Each has a default that suits an average service.
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
	tracer         Tracer // nil: no tracing
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

// Concurrency is how many handlers run at once; default 16, at least 1. Run holds as many commands
// again that have not begun, and the bus's buffer as many once more. The number is small because no
// other process can serve what waits here. Where the bus supports it, up to n commands come in one
// message, so that they begin and are acknowledged together.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = max(n, 1) }
}

// AckWait is how long the bus waits for an acknowledgement before it redelivers a command; default
// 30 s, at least 1 ms. Run reports the commands it holds as in progress every third of it, so
// AckWait bounds how late the death of a process is noticed, not how long a handler may take. It
// should exceed twice the time of a slow handler, because a command can wait that long in the bus's
// buffer before Run holds it. Otherwise commands are delivered twice, which the inbox makes
// harmless.
func AckWait(d time.Duration) Option {
	return func(o *options) { o.ackWait = max(d, time.Millisecond) }
}

// MaxInFlight bounds the delivered and unanswered commands over all processes of this participant;
// default 0: the bus's own limit. With a bound each command comes as a message of its own, so that
// the bus can count it, which costs the bus more. Commands handed back because their action is
// unknown here use at most a quarter of the bound.
func MaxInFlight(n int) Option {
	return func(o *options) { o.maxInFlight = max(n, 0) }
}

// bundle returns how many commands may come in one message.
func (o *options) bundle() int {
	if o.maxInFlight > 0 {
		return 1
	}
	return o.concurrency
}

// returns returns how many commands may be handed back at a time.
func (o *options) returns() int {
	if o.maxInFlight > 0 {
		return o.maxInFlight / 4
	}
	return busInFlight / 4
}

// GracePeriod is how long handlers may finish and their answers be published after Run's context
// has ended; default 20 s. Then the handlers' contexts are cancelled. Unanswered commands are
// delivered again.
func GracePeriod(d time.Duration) Option {
	return func(o *options) { o.gracePeriod = max(d, 0) }
}

// HandlerTimeout bounds one call of a handler by its context; default 0: no bound. A handler that
// times out has failed and may be retried.
//
// A command's Expires does not cancel its handler, and an expired command is still served: nobody
// waits for that attempt's answer, but the next attempt is answered with what this one records.
// Cancelling would discard work just when the participant is too slow already.
func HandlerTimeout(d time.Duration) Option {
	return func(o *options) { o.handlerTimeout = max(d, 0) }
}

// Retention makes Run remove older inbox entries once an hour, whatever saga they belong to;
// default 0: never. It is safe if it exceeds both the life of the longest saga and the time the bus
// keeps a command: after an entry is removed, a late duplicate would take effect again. If a
// coordinator is restored from a backup older than Retention, coordinator orphans cannot find the
// removed entries.
func Retention(d time.Duration) Option {
	return func(o *options) { o.retention = max(d, 0) }
}

// SubjectPrefix is the first token, or tokens, of every subject; default "saga".
func SubjectPrefix(prefix string) Option {
	return func(o *options) { o.subjects.Prefix = prefix }
}

// Logger receives warnings and errors (at most one line of a kind in ten seconds) and, at debug
// level, every answer; default: slog.Default(). The keys are saga, step, direction, attempt, action,
// participant, outcome, reason.
func Logger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = loglimit.Logger(l)
		}
	}
}

// OnAnswer is called after every command, for metrics and traces; it must not
// block. Several calls may run at once.
func OnAnswer(f func(Report)) Option {
	return func(o *options) {
		if f != nil {
			o.onAnswer = f
		}
	}
}

// Report describes how a command was answered.
type Report struct {
	Participant string
	Action      string
	Key         contract.Key
	Attempt     int
	Outcome     contract.Outcome // "": no answer; the command is dead-lettered unless HandedBack
	Reason      string           // of a rejection, a failure or a missing answer
	HandedBack  bool             // its action is unknown here, or its sender was replaced; the bus delivers it again
	Final       bool             // of failed: retrying cannot help
	Called      bool             // the handler ran; false: answered from the inbox
	Took        time.Duration    // from receiving the command to the commit
}
