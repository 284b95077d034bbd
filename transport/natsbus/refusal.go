package natsbus

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// errNoStream is returned if no stream stores a subject.
var errNoStream = fmt.Errorf("no stream takes this subject; it is missing or its server is away: try again (%w)", transport.ErrRefused)

// refusals maps JetStream's error codes for publishes to kinds of refusal. Unknown codes count as
// temporary. Codes caused only by headers that a bus never sends (expectations, batches, counters,
// schedules) are permanent, because sending the same message again changes nothing. TestRefusals
// provokes them on a real server.
var refusals = map[jetstream.ErrorCode]error{
	10054: transport.ErrTooLarge,       // message size exceeds maximum allowed
	10097: transport.ErrTooLarge,       // header size exceeds maximum allowed of 64k
	10165: transport.ErrRefusedForGood, // invalid per-message TTL
	10060: transport.ErrRefusedForGood, // expected stream does not match
	10070: transport.ErrRefusedForGood, // wrong last message id
	10193: transport.ErrRefusedForGood, // missing sequence for expected last sequence per subject
	10111: transport.ErrRefusedForGood, // rollup failed
	10168: transport.ErrRefusedForGood, // message counters is disabled
	10174: transport.ErrRefusedForGood, // atomic publish is disabled
	10188: transport.ErrRefusedForGood, // message schedules is disabled
	10189: transport.ErrRefusedForGood, // message schedules pattern is invalid
	10190: transport.ErrRefusedForGood, // message schedules target is invalid
	10191: transport.ErrRefusedForGood, // message schedules invalid per-message TTL
	10192: transport.ErrRefusedForGood, // message schedules invalid rollup
	10203: transport.ErrRefusedForGood, // message schedules source is invalid
	10212: transport.ErrRefusedForGood, // message schedules invalid scheduler

	10002: transport.ErrFull,    // resource limits exceeded for account
	10023: transport.ErrFull,    // insufficient resources
	10047: transport.ErrFull,    // insufficient storage resources available
	10077: transport.ErrFull,    // maximum messages, messages per subject or bytes exceeded; see storeFailed
	10071: transport.ErrFenced,  // wrong last sequence: of the claim; see claim.go
	10164: transport.ErrFenced,  // the same, while another publish is in progress
	10008: transport.ErrRefused, // JetStream system temporarily unavailable
	10009: transport.ErrRefused, // not leader
	10109: transport.ErrRefused, // sealed stream
	10166: transport.ErrRefused, // per-message TTL is disabled; sent again without one
	10167: transport.ErrRefused, // too many requests
	10194: transport.ErrRefused, // stream is offline
}

// translate turns an error of publishing into one of package transport, from which callers see if the
// server has the message and whether a retry makes sense.
func (b *Bus) translate(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", transport.ErrTooLarge, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("%w: %w", transport.ErrClosed, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return errNoStream
	case !errors.As(err, &api):
		return err
	}
	kind, known := refusals[api.ErrorCode]
	switch {
	case !known:
		if _, told := b.odd.LoadOrStore(api.ErrorCode, true); !told {
			b.config.Logger.Warn("the NATS server refuses a message with an unknown error code; retrying until it is accepted",
				"code", int(api.ErrorCode), "error", api.Description)
		}
		return err
	case api.ErrorCode == storeFailed && !strings.HasPrefix(api.Description, "maximum "):
		return err // a disk error: the message may have been written
	}
	if errors.Is(kind, transport.ErrFenced) {
		b.refusedByFence()
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// storeFailed is the code for a stream's limit as well as for a disk error.
const storeFailed jetstream.ErrorCode = 10077

// violations tracks the subjects that the server does not let us publish to. The server reports
// those on the connection and not in reply to the message, which it drops silently.
type violations struct {
	subjects transport.Subjects
	some     atomic.Bool

	mu   sync.Mutex
	seen map[string]violation // by subject; at most maxViolations
	next chan struct{}        // closed on the next violation
}

type violation struct{ first, last time.Time }

const (
	maxViolations = 1024
	// forbiddenAfter is how long a violation must last before it counts as permanent, which gives
	// an operator time to grant the permission.
	forbiddenAfter = time.Minute
)

func newViolations(subjects transport.Subjects) *violations {
	return &violations{subjects: subjects, seen: map[string]violation{}, next: make(chan struct{})}
}

var publishViolation = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// note records an error of the connection.
func (v *violations) note(err error, now time.Time) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	match := publishViolation.FindStringSubmatch(err.Error())
	if match == nil {
		return
	}
	key, ours := v.key(match[1])
	if !ours {
		return // not a publish of the bus: acknowledgements, requests
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	one, known := v.seen[key]
	if !known && len(v.seen) >= maxViolations {
		v.evict()
	}
	if !known || now.Sub(one.last) > forbiddenAfter {
		one.first = now
	}
	one.last = now
	v.seen[key] = one
	v.some.Store(true)
	close(v.next)
	v.next = make(chan struct{})
}

// evict drops the oldest violation. Called with the lock held.
func (v *violations) evict() {
	oldest, at := "", time.Time{}
	for key, one := range v.seen {
		if at.IsZero() || one.last.Before(at) {
			oldest, at = key, one.last
		}
	}
	delete(v.seen, oldest)
}

// key returns what a permission is granted for: a command's subject, or all answers of a
// participant; false: the subject belongs to no stream.
func (v *violations) key(subject string) (key string, ours bool) {
	stream, err := v.subjects.StreamOf(subject)
	if err != nil {
		return "", false
	}
	participant, _, bundle := v.subjects.ParseBundle(subject)
	switch {
	case bundle:
		return string(stream) + " bundle " + participant, true
	case stream == transport.Events:
		return string(stream) + " " + v.subjects.Participant(subject), true
	}
	return subject, true
}

// changed returns a channel that is closed on the next violation.
func (v *violations) changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next
}

// of returns the error of a message published at or after a time; nil: no violation since.
func (v *violations) of(subject string, published time.Time) error {
	if !v.some.Load() {
		return nil
	}
	key, ours := v.key(subject)
	if !ours {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	one, known := v.seen[key]
	switch {
	case !known || one.last.Before(published):
		return nil
	case one.last.Sub(one.first) >= forbiddenAfter:
		return fmt.Errorf("%w (%w since %s): allow it in the NATS server's permissions", transport.ErrRefusedForGood, transport.ErrNotPermitted, one.first.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("%w: allow it in the NATS server's permissions", transport.ErrNotPermitted)
}

// forget notes that a message was accepted.
func (v *violations) forget(subject string) {
	if !v.some.Load() {
		return
	}
	key, ours := v.key(subject)
	if !ours {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.seen, key)
	v.some.Store(len(v.seen) > 0)
}

// watchViolations adds a handler that records permission errors, in front of the existing one.
// After stop it only forwards, like watchDisconnects's.
func (b *Bus) watchViolations() (stop func()) {
	handlers.Lock()
	defer handlers.Unlock()
	var open atomic.Pointer[violations]
	open.Store(b.violations)
	before := b.nc.ErrorHandler()
	b.nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if v := open.Load(); v != nil {
			v.note(err, time.Now())
		}
		if before != nil {
			before(nc, sub, err)
		}
	})
	return func() { open.Store(nil) }
}
