package participant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
)

// Bounds on commands whose action no handler here serves (I10). While a participant
// is being replaced, another process of it may serve them.
const (
	// MaxUnknownDeliveries is how often the bus delivers such a command, over all
	// processes of the participant, before it is answered as failed.
	MaxUnknownDeliveries = 12

	firstHandBack = time.Second            // doubled with each delivery,
	maxHandBack   = 10 * time.Second       // up to this
	minHandBack   = 250 * time.Millisecond // enough for an answer to be in time

	// busInFlight is the default of transport.Subscription.MaxInFlight.
	busInFlight = 4096
)

// unknownAction is the error of a command that needs a handler this process does not
// have.
type unknownAction struct {
	name string // participant.action
	dir  contract.Direction
	note string // what is known about it; "": nothing
}

func (u *unknownAction) Error() string {
	return fmt.Sprintf("nobody here knows this action: %s (%s%s): deploy a process that handles it", u.name, u.dir, u.note)
}

// stranger stands in for the handler of an action that is not served here. The inbox
// still answers what needs no handler; unrecorded keeps it from answering an undo whose
// handler may know more.
func stranger[Tx any](u *unknownAction) handler[Tx] {
	return handler[Tx]{
		direction:  u.dir,
		unrecorded: true,
		stranger:   u,
		serve:      func(context.Context, Tx, input) (Answer, error) { return Answer{}, u },
	}
}

// fate is what becomes of a command that is not served here: it is handed back to the bus for a
// while, or answered as failed.
type fate struct {
	delay time.Duration // above 0: handed back, to be delivered again after it
	final bool          // of the answer
	note  string        // for its reason
}

// fateOf decides it. redeliveries is the bus's count; negative: the bus does not count,
// and has no delays. A command is handed back until the bus has delivered it
// MaxUnknownDeliveries times, and while its attempt lasts: what would come again only
// after that is answered now, so that the attempt does not end without a reason. One
// that has expired already is handed back all the same: a backlog is old at first sight.
//
// An undo has to succeed in the end, so it never fails for good.
func fateOf(c *transport.Envelope, redeliveries int, now time.Time) fate {
	deliveries := redeliveries + 1
	switch {
	case redeliveries < 0:
		return fate{note: "; it cannot be handed back to another process from here"}
	case deliveries >= MaxUnknownDeliveries:
		return fate{final: c.Direction == contract.DirectionDo, note: "; delivered " + plural.Of(deliveries, "time", "times")}
	}
	delay := min(firstHandBack<<min(redeliveries, 10), maxHandBack)
	if left := c.Expires.Sub(now); !c.Expires.IsZero() && left > 0 && delay >= left {
		if delay = left / 2; delay < minHandBack {
			return fate{note: "; delivered " + plural.Of(deliveries, "time", "times") + " in this attempt"}
		}
	}
	return fate{delay: delay}
}

// staleFate decides it for a command of a coordinator that was replaced: it is handed back
// as often, and then it is a dead letter. It may be the newer claim that is wrong.
func staleFate(redeliveries int) fate {
	if redeliveries < 0 || redeliveries+1 >= MaxUnknownDeliveries {
		return fate{}
	}
	return fate{delay: min(firstHandBack<<min(redeliveries, 10), maxHandBack), note: "; it is handed back"}
}

// notHandedBack is the fate of a command that Answer is given: it knows of no bus.
func notHandedBack(c *transport.Envelope, why error) fate {
	if _, stale := errors.AsType[*replaced](why); stale {
		return staleFate(-1)
	}
	return fateOf(c, -1, time.Time{})
}

// handedBack is the error of a command that goes back to the bus.
type handedBack struct {
	error
	delay time.Duration
}

// returns are the commands of one Run that were handed back and have not come due again.
// The bus counts them as in flight: without a bound they would keep it from delivering
// any others.
type returns struct {
	bound int
	mu    sync.Mutex
	due   []time.Time
}

// take notes a command that comes again after delay; false: there are too many.
func (r *returns) take(now time.Time, delay time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.due) >= r.bound {
		kept := r.due[:0]
		for _, due := range r.due {
			if due.After(now) {
				kept = append(kept, due)
			}
		}
		r.due = kept
	}
	if len(r.due) >= r.bound {
		return false
	}
	r.due = append(r.due, now.Add(delay))
	return true
}

// unknownEvery is how often the log says that an action is not known.
const unknownEvery = 10 * time.Minute

// maxUnknownNames bounds the actions that the log tells apart.
const maxUnknownNames = 64

// notices bounds what the log says about unknown actions: a line for each action, not
// for each command.
type notices struct {
	mu   sync.Mutex
	said map[string]*notice
}

type notice struct {
	at    time.Time
	since int // commands since then
}

// due counts a command and reports whether the log is to say so now, with the number of
// commands that it stands for.
func (n *notices) due(u *unknownAction, now time.Time) (commands int, say bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := u.name + " " + string(u.dir)
	if n.said == nil {
		n.said = make(map[string]*notice)
	}
	last := n.said[name]
	if last == nil && len(n.said) >= maxUnknownNames {
		name = "" // all others share one
		last = n.said[name]
	}
	if last == nil {
		last = &notice{at: now.Add(-unknownEvery)}
		n.said[name] = last
	}
	last.since++
	if now.Sub(last.at) < unknownEvery {
		return 0, false
	}
	commands = last.since
	last.at, last.since = now, 0
	return commands, true
}
