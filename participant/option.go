package participant

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
)

// Option sets an option of a participant. Every option has a default, which the value 0 selects. A
// negative value switches the option off if it can be off. Check reports any other value that cannot
// be used.
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

func newOptions(opts []Option) (o options, problems []error) {
	o = options{logger: loglimit.Logger(slog.Default()), onAnswer: func(Report) {}}
	for _, opt := range opts {
		opt(&o)
	}
	problems = o.complete()
	return o, problems
}

// complete replaces 0 by the default, and returns the problems of all other values.
func (o *options) complete() (problems []error) {
	o.concurrency = cmp.Or(o.concurrency, 16)
	o.ackWait = cmp.Or(o.ackWait, 30*time.Second)
	o.gracePeriod = max(cmp.Or(o.gracePeriod, 20*time.Second), 0)
	if o.concurrency < 0 || o.concurrency > transport.MostInFlight {
		problems = append(problems, fmt.Errorf("Concurrency is %d; give 1 to %d, or 0 for the default", o.concurrency, transport.MostInFlight))
	}
	if o.ackWait < transport.MinAckWait || o.ackWait > transport.MaxAckWait {
		problems = append(problems, fmt.Errorf("AckWait is %s; give %s to %s, or 0 for the default", o.ackWait, transport.MinAckWait, transport.MaxAckWait))
	}
	if o.maxInFlight < 0 || o.maxInFlight > transport.MostInFlight {
		problems = append(problems, fmt.Errorf("MaxInFlight is %d; give 1 to %d, or 0 for the limit of the bus", o.maxInFlight, transport.MostInFlight))
	}
	if err := transport.CheckPrefix(o.subjects.Prefix); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// Concurrency sets how many handlers run concurrently. The default is 16. In addition, Run holds up
// to n commands that wait for a handler, and the bus buffers up to n more. The default is small
// because no other process can serve the waiting commands. If the bus supports it, up to n commands,
// and at most transport.MaxBundleSize, arrive in one message; they start and are acknowledged
// together.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = n }
}

// AckWait sets how long the bus waits for an acknowledgement before it redelivers a command:
// transport.MinAckWait (1 s) to transport.MaxAckWait (1 h). The default is 30 s. Run reports its
// commands to the bus as in progress, three times per AckWait. Therefore AckWait limits how late a
// crash of the process is detected, but not how long a handler may take. AckWait should exceed twice
// the time of a slow handler, because a command can wait that long in the bus's buffer before Run
// receives it. With a lower value, commands are delivered twice, which the inbox makes harmless.
func AckWait(d time.Duration) Option {
	return func(o *options) { o.ackWait = d }
}

// MaxInFlight limits the unanswered commands in flight, over all processes of this participant, to
// at most transport.MostInFlight. The default is the bus's own limit. With a limit, each command is a separate message so that the
// bus can count it, which is more work for the bus. Commands that are handed back because of an
// unknown action use at most a quarter of the limit.
func MaxInFlight(n int) Option {
	return func(o *options) { o.maxInFlight = n }
}

// bundle returns the maximum number of commands in one message.
func (o *options) bundle() int {
	if o.maxInFlight > 0 {
		return 1
	}
	return min(o.concurrency, transport.MaxBundleSize)
}

// returns returns the maximum number of commands that are handed back at the same time.
func (o *options) returns() int {
	if o.maxInFlight > 0 {
		return o.maxInFlight / 4
	}
	return busInFlight / 4
}

// GracePeriod sets how long handlers may continue, and answers may be published, after Run's
// context has ended. The default is 20 s; a negative value means no time. After that, the handlers'
// contexts are cancelled. Unanswered commands are redelivered.
func GracePeriod(d time.Duration) Option {
	return func(o *options) { o.gracePeriod = d }
}

// HandlerTimeout sets the timeout of a handler's context. By default, and with a negative value,
// there is no timeout. A handler that times out has failed and may be retried.
//
// A command's Expires does not cancel its handler, and an expired command is still served. Nobody
// waits for the answer of that attempt, but the next attempt gets the answer that this one records.
// Cancelling would discard work exactly when the participant is too slow.
func HandlerTimeout(d time.Duration) Option {
	return func(o *options) { o.handlerTimeout = d }
}

// Retention makes Run remove inbox entries older than d, once an hour. By default, and with a
// negative value, entries are never removed. After an entry is removed, a late duplicate of its
// command would take effect again. Therefore d must exceed the life of the longest saga and the time
// for which the bus keeps a command. If a coordinator is restored from a backup older than d, the
// command "coordinator orphans" cannot find the removed entries.
func Retention(d time.Duration) Option {
	return func(o *options) { o.retention = d }
}

// Prefix sets the first token, or tokens, of every subject. By default, Run uses the prefix of the
// bus if the bus is a transport.Prefixer, as all buses of this module are. Otherwise, and with
// Answer, the default is transport.DefaultPrefix.
func Prefix(prefix string) Option {
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
