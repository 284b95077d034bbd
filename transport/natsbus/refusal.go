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

// errNoStream: nobody stores what is published.
var errNoStream = fmt.Errorf("no stream takes this subject; it is missing or its server is away: try again (%w)", transport.ErrRefused)

// refusals are the codes with which JetStream refuses a message, and of which kind that
// is. A code that is not here is a refusal for now. Those that only headers can bring
// about that a bus never sends (expectations, batches, counters, schedules) are for good:
// sending the same again changes nothing. TestRefusals brings them about at a real server.
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
	10071: transport.ErrFenced,  // wrong last sequence: of the claim, see claim.go
	10164: transport.ErrFenced,  // the same, while something is under way
	10008: transport.ErrRefused, // JetStream system temporarily unavailable
	10009: transport.ErrRefused, // not leader
	10109: transport.ErrRefused, // sealed stream
	10166: transport.ErrRefused, // per-message TTL is disabled: sent again without
	10167: transport.ErrRefused, // too many requests
	10194: transport.ErrRefused, // stream is offline
}

// translate brings an error of publishing into the words of package transport: whether
// the server has the message, and whether it makes sense to send it again.
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
			b.config.Logger.Warn("the NATS server refuses a message for a reason that is not known; it is sent again until it is taken",
				"code", int(api.ErrorCode), "error", api.Description)
		}
		return err
	case api.ErrorCode == storeFailed && !strings.HasPrefix(api.Description, "maximum "):
		return err // of the disk: it may have been written
	}
	if errors.Is(kind, transport.ErrFenced) {
		b.refusedByFence()
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// storeFailed is the code for a limit of the stream, and for an error of the disk.
const storeFailed jetstream.ErrorCode = 10077

// violations are the destinations on which the server does not let us publish. It says so
// on the connection and not in answer to the message, which is dropped in silence.
type violations struct {
	subjects transport.Subjects
	some     atomic.Bool

	mu   sync.Mutex
	seen map[string]violation // by destination; at most maxViolations
	next chan struct{}        // closed when there is another one
}

type violation struct{ first, last time.Time }

const (
	maxViolations = 1024
	// forbiddenAfter is how long the server has to say no before it counts as for good: an
	// operator who sees it may put it right.
	forbiddenAfter = time.Minute
)

func newViolations(subjects transport.Subjects) *violations {
	return &violations{subjects: subjects, seen: map[string]violation{}, next: make(chan struct{})}
}

var publishViolation = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// note takes in an error of the connection.
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
		return // not published by a bus: acknowledgements, requests
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

// evict drops the one that was seen longest ago. Called with the lock held.
func (v *violations) evict() {
	oldest, at := "", time.Time{}
	for key, one := range v.seen {
		if at.IsZero() || one.last.Before(at) {
			oldest, at = key, one.last
		}
	}
	delete(v.seen, oldest)
}

// key is what a permission is given for: the subject of a command, all answers of a
// participant; false: it is of no stream.
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

// changed is closed when the server has said no once more.
func (v *violations) changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next
}

// of is the error of a message that was published at a time or later; nil: the server has
// not said no since.
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

// forget takes note that a message was accepted.
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

// watchViolations has errors of the connection noted, beside whoever is told of them, until
// stop; then its handler only passes them on, as that of watchDisconnects does.
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
