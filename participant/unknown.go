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

// Limits on commands whose action has no handler in this process (I10). During a rolling
// deployment, another process of the participant may have a handler.
const (
	// MaxUnknownDeliveries is the maximum number of deliveries of such a command, over all
	// processes of the participant. After that, the command is answered as failed.
	MaxUnknownDeliveries = 12

	firstHandBack = time.Second            // delay after the first delivery; then doubled
	maxHandBack   = 10 * time.Second       // maximum delay
	minHandBack   = 250 * time.Millisecond // minimum delay; if too little time is left, the command is answered

	// busInFlight is the default of transport.Subscription.MaxInFlight.
	busInFlight = 4096
)

// unknownAction is the error for a command whose action has no handler in this process.
type unknownAction struct {
	name string // participant.action
	dir  contract.Direction
	note string // additional information, or ""
}

func (u *unknownAction) Error() string {
	return fmt.Sprintf("unknown action: %s (%s%s): deploy a process that handles it", u.name, u.dir, u.note)
}

// stranger returns a stand-in for a missing handler. The inbox can then answer commands that need
// no handler. The field unrecorded prevents the inbox from acknowledging an undo that the real
// handler might have to execute.
func stranger[Tx any](u *unknownAction) handler[Tx] {
	return handler[Tx]{
		direction:  u.dir,
		unrecorded: true,
		stranger:   u,
		serve:      func(context.Context, Tx, input) (Answer, error) { return Answer{}, u },
	}
}

// fate describes what happens to a command that is not served here. The command is handed back to
// the bus for a while, or answered as failed.
type fate struct {
	delay time.Duration // if above 0, the command is handed back and redelivered after this delay
	final bool          // whether the failure is final
	note  string        // appended to the reason
}

// fateOf decides the fate of a command with an unknown action. redeliveries is counted by the bus,
// or negative if the bus can neither count nor delay redeliveries. A command is handed back until
// it has been delivered MaxUnknownDeliveries times. It is answered before its attempt ends, so that
// the attempt does not time out without a reason. A command that has already expired is handed back
// too, because after an outage the whole backlog has expired.
//
// The failure of an undo is never final, because an undo has to succeed in the end.
func fateOf(c *transport.Envelope, redeliveries int, now time.Time) fate {
	deliveries := redeliveries + 1
	switch {
	case redeliveries < 0:
		return fate{note: "; it cannot be handed back to another process"}
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

// staleFate decides the fate of a command from a replaced coordinator. The command is handed back
// as often as a command with an unknown action, and then dead-lettered. It is not dead-lettered at
// once, because the newer claim may be the wrong one.
func staleFate(redeliveries int) fate {
	if redeliveries < 0 || redeliveries+1 >= MaxUnknownDeliveries {
		return fate{}
	}
	return fate{delay: min(firstHandBack<<min(redeliveries, 10), maxHandBack), note: "; the command is handed back"}
}

// notHandedBack decides the fate of a command that was passed to Answer, which cannot hand it back.
func notHandedBack(c *transport.Envelope, why error) fate {
	if _, stale := errors.AsType[*replaced](why); stale {
		return staleFate(-1)
	}
	return fateOf(c, -1, time.Time{})
}

// handedBack is the error for a command that is handed back to the bus.
type handedBack struct {
	error
	delay time.Duration
}

// returns tracks the commands of one Run that were handed back and are not due yet. The bus counts
// them as in flight. Without a limit, they would block all other deliveries.
type returns struct {
	bound int
	mu    sync.Mutex
	due   []time.Time
}

// take adds a command that will be redelivered after delay. It returns false if there are too many.
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

// unknownEvery is the interval at which an unknown action is logged.
const unknownEvery = 10 * time.Minute

// maxUnknownNames bounds the unknown actions that are logged separately.
const maxUnknownNames = 64

// notices limits the log about unknown actions to one line per action and interval, instead of one
// line per command.
type notices struct {
	mu   sync.Mutex
	said map[string]*notice
}

type notice struct {
	at    time.Time
	since int // number of commands since at
}

// due counts a command. It reports whether to log now, and the number of commands to log.
func (n *notices) due(u *unknownAction, now time.Time) (commands int, say bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := u.name + " " + string(u.dir)
	if n.said == nil {
		n.said = make(map[string]*notice)
	}
	last := n.said[name]
	if last == nil && len(n.said) >= maxUnknownNames {
		name = "" // all further names share one entry
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
