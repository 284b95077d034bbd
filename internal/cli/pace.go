package cli

import (
	"fmt"
	"io"
	"time"
)

// pace says on stderr, once a second, how far something long has come.
type pace struct {
	to   io.Writer
	what string
	unit string
	of   int64 // in all; 0: not known
	done int64
	next time.Time
}

func newPace(to io.Writer, what, unit string, of int64) *pace {
	return &pace{to: to, what: what, unit: unit, of: of, next: time.Now().Add(time.Second)}
}

// add counts, and speaks when it is time.
func (p *pace) add(n int64) {
	p.done += n
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(time.Second)
	if p.of > 0 {
		_, _ = fmt.Fprintf(p.to, "%s: %d of %d %s (%d %%)\n", p.what, p.done, p.of, p.unit, 100*p.done/p.of)
		return
	}
	_, _ = fmt.Fprintf(p.to, "%s: %d %s\n", p.what, p.done, p.unit)
}

// Write counts bytes that pass.
func (p *pace) Write(b []byte) (int, error) {
	p.add(int64(len(b)))
	return len(b), nil
}
