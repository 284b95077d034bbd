package simulation

import (
	"time"

	"github.com/amends-dev/amends/ownership"
)

// This file checks that only one owner acts (I11), on the history of all stores together.

// take passes a record to the audits that it concerns. What a participant does is checked by the
// audit of the store that requested it, and learned by the audits of all stores.
func (w *world) take(r *Record) {
	if w.claims == nil {
		w.volumes[0].audit.take(r)
		return
	}
	w.claims.check(r)
	for _, v := range w.volumes {
		if r.volume == nil || r.volume == v {
			v.audit.take(r)
		} else {
			v.audit.overhear(r)
		}
	}
	if b := w.claims.backup; b != nil {
		b.audit.overhear(r)
	}
}

// overhear learns a record that another store caused.
func (a *audit) overhear(r *Record) {
	switch {
	case r.Kind == Answered, r.Kind == Effect, r.Kind == Undone:
		a.learn(r)
	case r.Kind == Sent && r.Taken && a.sagas[identity{r.Saga, r.Run}] != nil:
		a.account(r).shared = true
	}
}

func (c *claims) violated(format string, args ...any) {
	c.w.volumes[0].audit.violated("I11", format, args...)
}

// before reports whether t is an earlier claim than other and belongs to a different store.
func (t *tenure) before(other *tenure) bool {
	return other != nil && t.volume != other.volume && t.order < other.order
}

// check checks one record (I11).
func (c *claims) check(r *Record) {
	switch t := r.Under; r.Kind {
	case Sent:
		c.checkSent(r)
	case Subscribed:
		if c.holder != nil && c.holder.volume != t.volume {
			c.violated("%s makes the subscription to the answers, but the prefix belongs to %s (at %s)", t.volume.name, c.holder.volume.name, r.At)
		}
	case Effect, Undone:
		if seen := c.seen[r.Who]; t != nil && !c.w.services[r.Who].weak && t.before(seen) && t.number <= seen.number {
			c.violated("%s/%s took effect at %s for claim %d of %s, after it had heard from claim %d of %s (at %s)",
				r.Saga, r.Step, r.Who, t.number, t.volume.name, seen.number, seen.volume.name, r.At)
		}
	case Served:
		if seen := c.seen[r.Who]; t != nil && (seen == nil || seen.order < t.order) {
			c.seen[r.Who] = t
		}
	case Accepted:
		c.checkStops(r)
	default:
	}
}

// checkSent checks that no process sends without a claim, or after another store has sent under a
// later claim. A message from a process that was paused before sending is exempt. It also checks
// that no two owners are confirmed at once.
func (c *claims) checkSent(r *Record) {
	t := r.Under
	switch {
	case !r.Taken, c.fences && r.Step == "": // the bus compares only commands with the fence
		return
	case t == nil:
		c.violated("%s sends, but has no claim (at %s)", r.Who, r.At)
		return
	case t.before(c.sent):
		if r.Late && !c.fences {
			c.w.coverage[SentLate]++
			return
		}
		if !c.lostAll() {
			c.violated("%s sends under claim %d after %s has sent under claim %d (at %s)", t.volume.name, t.number, c.sent.volume.name, c.sent.number, r.At)
		}
		return
	case c.sent == nil || c.sent.order < t.order:
		c.sent = t
	}
	if !r.Late {
		c.checkAlone(t.by)
	}
}

// checkAlone checks that no other store is confirmed as the owner, if the bus does not fence.
func (c *claims) checkAlone(owner *node) {
	if c.fences || c.lostAll() || !owner.keeper.Confirmed() {
		return
	}
	for _, n := range c.w.nodes {
		if n.up && n != owner && n.keeper != nil && n.keeper.Confirmed() {
			c.violated("%s and %s are both certain to be the owner (at %s)", owner.volume.name, n.volume.name, c.w.now)
		}
	}
}

// lostAll reports whether the bus lost all data recently. The owner may then not know yet that
// another store's claim was the first one after the loss.
func (c *claims) lostAll() bool { return c.w.now-c.wiped <= ownership.DefaultTTL }

// checkStops checks that a replaced owner accepts no start after its next confirmation.
func (c *claims) checkStops(r *Record) {
	for _, n := range c.w.nodes {
		if n.name != r.Who || c.holder == nil || c.holder.volume == n.volume {
			continue
		}
		since := max(c.holder.at, n.hindered, n.held, n.cutUntil, c.awayUntil)
		if c.w.now-since > ownership.DefaultInterval+time.Second {
			c.violated("%s accepts a start %s after %s has taken the prefix", n.volume.name, c.w.now-since, c.holder.volume.name)
		}
	}
}

// atRest checks what must hold when the system is at rest: there is one owner, its sagas have
// ended, and replaced owners have kept their data.
func (w *world) atRest() {
	if w.claims == nil {
		w.volumes[0].audit.atRest()
		return
	}
	owners := 0
	for _, n := range w.nodes {
		if n.up {
			owners++
		}
	}
	if owners != 1 {
		w.claims.violated("there are %d owners at the end", owners)
	}
	for _, v := range w.volumes {
		if v == w.front() {
			v.audit.atRest()
		} else {
			v.audit.kept()
		}
	}
}

// kept checks that the store of a replaced owner still holds everything (I11).
func (a *audit) kept() {
	for _, c := range a.w.callers {
		acc := a.account(&Record{Saga: c.id})
		if acc.last == nil || acc.removed {
			continue
		}
		if stored := a.volume.look(c.id); stored == nil || stored.Revision != acc.last.Revision {
			a.violated("I11", "%s is no longer in %s as it was committed there", c.id, a.volume.name)
		}
	}
}
