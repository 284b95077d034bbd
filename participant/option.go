package participant

import (
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
)

// Option changes how a participant works. Each has a default that suits a
// service of ordinary size.
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
	tracer         Tracer // nil: nobody follows
}

func defaults() options {
	return options{
		concurrency: 16,
		ackWait:     30 * time.Second,
		gracePeriod: 20 * time.Second,
		logger:      slog.New(slog.DiscardHandler),
		onAnswer:    func(Report) {},
	}
}

// Concurrency is how many handlers run at once; default 16, at least 1. As many
// commands again wait in line, received but not begun, and as many in the bus's
// buffer. So few, because what waits here cannot be served by another process. As
// many, at most, come in one message of the bus where it can do that: they can be
// begun together, and are acknowledged together.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = max(n, 1) }
}

// AckWait is how long the bus waits for a sign of life before it delivers a
// command elsewhere; default 30 s, at least 1 ms. A command that is held longer
// is reported as in progress every third of it, so this bounds how late the
// death of a process is noticed, not how long a handler may take. It should
// exceed twice what a slow handler takes: that long may a command lie in the bus's
// buffer before Run holds it. If it does not, commands are delivered twice, which
// the inbox makes harmless.
func AckWait(d time.Duration) Option {
	return func(o *options) { o.ackWait = max(d, time.Millisecond) }
}

// MaxInFlight bounds the commands that the bus has delivered and nobody has
// answered yet, over all processes of this participant; default 0: the bus's own
// bound. With a bound, each command comes as a message of its own, so that it can be
// counted: that costs the bus more. At most a quarter of the bound is held by commands
// whose action is not known here and that were handed back.
func MaxInFlight(n int) Option {
	return func(o *options) { o.maxInFlight = max(n, 0) }
}

// bundle is how many commands may come in one message.
func (o *options) bundle() int {
	if o.maxInFlight > 0 {
		return 1
	}
	return o.concurrency
}

// returns is how many commands may be handed back at a time.
func (o *options) returns() int {
	if o.maxInFlight > 0 {
		return o.maxInFlight / 4
	}
	return busInFlight / 4
}

// GracePeriod is how long Run lets handlers finish, and their answers go out,
// after its context has ended; default 20 s. Then the handlers' contexts are
// cancelled. Whatever is unanswered comes again.
func GracePeriod(d time.Duration) Option {
	return func(o *options) { o.gracePeriod = max(d, 0) }
}

// HandlerTimeout bounds one call of a handler by its context; default 0: no
// bound. A handler that is cut off has failed and may be tried again.
//
// The command's Expires does not cut a handler off, and an expired command is
// served: nobody waits for that attempt's answer any more, but what is done and
// recorded now is what the next attempt is answered with. Cutting it off would
// throw the work away exactly when the participant is too slow already.
func HandlerTimeout(d time.Duration) Option {
	return func(o *options) { o.handlerTimeout = max(d, 0) }
}

// Retention makes Run remove, once an hour, inbox entries that are older,
// whichever saga they are of; default 0: never. It is safe when it exceeds the life of
// the longest saga and the time the bus keeps a command together: of a removed entry a
// late duplicate would take effect again. After a restore of a coordinator's backup
// that is older than it, coordinator orphans cannot find what was removed.
func Retention(d time.Duration) Option {
	return func(o *options) { o.retention = max(d, 0) }
}

// SubjectPrefix is the first token, or tokens, of every subject; default "saga".
func SubjectPrefix(prefix string) Option {
	return func(o *options) { o.subjects.Prefix = prefix }
}

// Logger receives what went wrong (warn and error, repeated lines of one kind once in
// ten seconds) and every answer (debug); default: nothing is logged. The keys are saga, step, direction, attempt,
// action, participant, outcome, reason.
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

// Report says how a command was answered.
type Report struct {
	Participant string
	Action      string
	Key         contract.Key
	Attempt     int
	Outcome     contract.Outcome // "": no answer; it goes to the dead letters unless HandedBack
	Reason      string           // of rejected, failed and of no answer
	HandedBack  bool             // its action is not known here, or its sender was replaced; it comes again, here or to another process
	Final       bool             // of failed: trying again cannot help
	Called      bool             // the handler ran; false: answered from the inbox
	Took        time.Duration    // from the receipt of the command to its commit
}
