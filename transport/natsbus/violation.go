package natsbus

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
)

// violations tracks the subjects to which the server does not let us publish. The server drops such
// a message silently; it reports the violation on the connection instead of in reply to the
// message.
type violations struct {
	subjects transport.Subjects
	some     atomic.Bool

	mu   sync.Mutex
	seen map[string]violation // violations by subject; at most maxViolations
	next chan struct{}        // closed on the next violation
}

type violation struct{ first, last time.Time }

const (
	maxViolations = 1024
	// forbiddenAfter is how long a violation must last before it counts as permanent. An operator
	// can grant the permission within this time.
	forbiddenAfter = time.Minute
)

func newViolations(subjects transport.Subjects) *violations {
	return &violations{subjects: subjects, seen: map[string]violation{}, next: make(chan struct{})}
}

var publishViolation = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// note records a permission error of the connection.
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
		return // not a message of the bus but an acknowledgement or request
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

// evict drops the oldest violation. The caller holds the lock.
func (v *violations) evict() {
	oldest, at := "", time.Time{}
	for key, one := range v.seen {
		if at.IsZero() || one.last.Before(at) {
			oldest, at = key, one.last
		}
	}
	delete(v.seen, oldest)
}

// key returns the name under which violations of a subject are recorded. The name is the subject
// itself, or a common name for all answers or bundles of a participant. ours is false if the
// subject belongs to no stream.
func (v *violations) key(subject string) (key string, ours bool) {
	stream, err := v.subjects.StreamOf(subject)
	if err != nil {
		return "", false
	}
	participant, _, bundle := v.subjects.ParseBundle(subject)
	switch {
	case bundle:
		return string(stream) + " bundle " + participant, true
	case stream == transport.StreamEvents:
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

// of returns the error for a message published at or after a time. It returns nil if there has been
// no violation since then.
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

// forget removes the violation of a subject, after the server has accepted a message on it.
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
