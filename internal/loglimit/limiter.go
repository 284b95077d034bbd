package loglimit

import (
	"slices"
	"sync"
	"time"
)

// Limits.
const (
	// Interval is the minimum time between two messages of one kind.
	Interval = 10 * time.Second
	// MaxKinds is the maximum number of kinds. Further kinds count as one.
	MaxKinds = 256
)

// Limiter admits the first message of a kind at once, and then one per Interval. It is safe for
// concurrent use.
type Limiter struct {
	mu    sync.Mutex
	kinds map[string]*kind
	swept time.Time
}

// kind is the state of one kind of message.
type kind struct {
	told time.Time // when a message was last admitted
	more int       // number of messages suppressed since then
	last any       // the latest suppressed message
}

// other is the kind of all messages above MaxKinds.
const other = "\x00"

// NewLimiter returns an empty Limiter.
func NewLimiter() *Limiter { return &Limiter{kinds: map[string]*kind{}} }

// Admit reports whether a message of a kind may pass, and how many messages of that kind were
// suppressed before it. If the message is suppressed, a later Overdue may return line.
func (l *Limiter) Admit(name string, now time.Time, line any) (more int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[name]
	if k == nil && len(l.kinds) >= MaxKinds {
		l.forget(now)
	}
	if k == nil && len(l.kinds) >= MaxKinds {
		name = other
		k = l.kinds[name]
	}
	if k == nil {
		k = &kind{}
		l.kinds[name] = k
	}
	if !k.told.IsZero() && now.Sub(k.told) < Interval {
		k.more++
		k.last = line
		return 0, false
	}
	more = k.more
	k.told, k.more, k.last = now, 0, nil
	return more, true
}

// forget removes kinds that have no suppressed messages and whose Interval is over.
func (l *Limiter) forget(now time.Time) {
	for name, k := range l.kinds {
		if k.more == 0 && now.Sub(k.told) >= Interval {
			delete(l.kinds, name)
		}
	}
}

// Held is the latest suppressed message of a kind, with the number of earlier ones.
type Held struct {
	Line any
	More int
}

// Overdue returns the latest suppressed message of each kind whose Interval is over, and counts it
// as admitted. It checks at most once a second.
func (l *Limiter) Overdue(now time.Time) []Held {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) < time.Second {
		return nil
	}
	l.swept = now
	var names []string
	for name, k := range l.kinds {
		if k.more > 0 && now.Sub(k.told) >= Interval {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	held := make([]Held, 0, len(names))
	for _, name := range names {
		k := l.kinds[name]
		held = append(held, Held{Line: k.last, More: k.more - 1})
		k.told, k.more, k.last = now, 0, nil
	}
	return held
}
