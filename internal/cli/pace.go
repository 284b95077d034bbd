package cli

import (
	"time"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
)

// pace reports the progress of a long operation on stderr, once a second.
type pace struct {
	to   *terminal.Stream
	what string
	one  string // the unit that is counted
	many string
	of   int64 // total; 0 if unknown
	done int64
	next time.Time
}

func newPace(to *terminal.Stream, what, one, many string, of int64) *pace {
	return &pace{to: to, what: what, one: one, many: many, of: of, next: time.Now().Add(time.Second)}
}

// add adds n to the count, and reports progress if a second has passed.
func (p *pace) add(n int64) {
	p.done += n
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(time.Second)
	if p.of > 0 {
		p.to.Printf("%s: %d of %s (%d %%)\n", p.what, p.done, plural.Of(p.of, p.one, p.many), 100*p.done/p.of)
		return
	}
	p.to.Printf("%s: %s\n", p.what, plural.Of(p.done, p.one, p.many))
}

// Write counts the bytes written.
func (p *pace) Write(b []byte) (int, error) {
	p.add(int64(len(b)))
	return len(b), nil
}
