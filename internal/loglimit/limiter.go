package loglimit

import (
	"slices"
	"sync"
	"time"
)

// Bounds.
const (
	// Interval is the least time between two lines of one kind.
	Interval = 10 * time.Second
	// MaxKinds bounds the kinds that are told apart; further ones count as one kind.
	MaxKinds = 256
)

// Limiter admits the first line of a kind at once, and then one in Interval. It is safe
// for concurrent use.
type Limiter struct {
	mu    sync.Mutex
	kinds map[string]*kind
	swept time.Time
}

// kind is what happened to the lines of one kind of late.
type kind struct {
	told time.Time // when one was admitted last
	more int       // held back since then
	last any       // the latest of those
}

// other is the kind of what comes beyond MaxKinds.
const other = "\x00"

// NewLimiter returns a Limiter that has seen nothing.
func NewLimiter() *Limiter { return &Limiter{kinds: map[string]*kind{}} }

// Admit reports whether a line of a kind may pass at a time, and how many of its kind
// were held back before it. line is handed to the caller of Overdue when it is held back.
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

// forget drops the kinds of which nothing was held back and the next may pass.
func (l *Limiter) forget(now time.Time) {
	for name, k := range l.kinds {
		if k.more == 0 && now.Sub(k.told) >= Interval {
			delete(l.kinds, name)
		}
	}
}

// Held is a line that was held back, the latest of its kind, and how many were before it.
type Held struct {
	Line any
	More int
}

// Overdue returns, for each kind whose Interval is over, the latest line that was held
// back, as admitted now. It looks once a second at most.
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
