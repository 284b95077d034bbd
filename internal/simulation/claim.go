package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// In a run with claims (I11), each coordinator has its own store and claims the prefix. The stores
// include copies, restored stores and unrelated stores. In some runs the bus refuses the commands
// of a replaced owner; in others only the inboxes refuse them.

// mostNodes is the maximum number of coordinators in a run with claims.
const mostNodes = 5

// claimed reports whether the run of a seed has claims. Runs that were kept before claims existed
// have no claims.
func claimed(seed uint64) bool { return seed%7 == 1 || seed%7 == 4 }

// tenure is one claim, held by one process.
type tenure struct {
	volume *volume
	by     *node
	number uint64
	order  int // rank of the claim, in the order in which the bus accepted them
	at     time.Duration
}

// claims is the bus's part of ownership: the current claim and everything that depends on it.
type claims struct {
	w      *world
	rng    rng
	fences bool // the stream has one copy, so the bus compares commands with the fence

	sequence uint64
	claim    *ownership.Claim
	at       uint64 // sequence of the claim
	token    uint64
	tokenOf  string // the incarnation that wrote the token
	pulse    uint64
	fence    string // the incarnation whose commands are accepted; "" if none
	consumer string // consumer of the answers; "" if none

	holder    *tenure // the current owner's claim; nil if released or lost by the bus
	last      *tenure // the latest claim
	sent      *tenure // the latest claim under which something was sent
	tenures   int
	wiped     time.Duration // when the bus last lost all data
	awayUntil time.Duration
	backup    *volume
	ownerless time.Duration      // time since which there has been no owner, after the faults; 0 if there is an owner
	ticks     int                // scheduled events that only check the claim
	frozen    bool               // a coordinator is paused in the middle of a call
	behind    bool               // participants know a higher claim number than the current one
	seen      map[string]*tenure // the latest claim that each participant has seen
}

func newClaims(w *world, d rng) *claims {
	return &claims{w: w, rng: d, fences: d.chance(0.4), wiped: -time.Hour, seen: map[string]*tenure{}}
}

// draw draws the settings of the faults that only affect claims.
func (c *claims) draw(m *Mix, off []Fault) {
	if c == nil {
		return
	}
	for k := BusAway; k < faultKinds; k++ {
		m.draw(c.rng, k, off)
	}
}

// happens draws whether a fault happens now. It draws a number even if the fault cannot happen, so
// that later draws stay the same.
func (c *claims) happens(k Fault) bool { return c.w.happens(c.rng, k) }

// strikes is like happens, for a fault that is possible only if can is true.
func (c *claims) strikes(k Fault, can bool) bool {
	if !can {
		c.rng.Float64() // keeps later draws the same
		return false
	}
	return c.happens(k)
}

// away reports whether a coordinator cannot reach the bus.
func (c *claims) away(n *node) bool { return c.w.now < c.awayUntil || c.w.now < n.cutUntil }

// wipe deletes all data of the bus. Its sequence numbers start again.
func (c *claims) wipe() {
	c.sequence, c.claim, c.at, c.token, c.tokenOf, c.pulse, c.fence, c.consumer = 0, nil, 0, 0, "", 0, "", ""
	c.holder, c.wiped = nil, c.w.now
	for _, n := range c.w.nodes {
		n.after(c.rng.span(time.Millisecond, 2*time.Second), func() {
			if n.possesses {
				n.tick()
			}
			if n.serves {
				n.relay.Resend()
				n.pump(0)
			}
		})
	}
}

// registry is the registry of claims as one coordinator reaches it.
type registry struct{ n *node }

var _ ownership.Registry = registry{}

// ConfirmNow implements ownership.Registry.
func (registry) ConfirmNow() <-chan struct{} { return nil }

// Fences implements ownership.Registry.
func (r registry) Fences() bool { return r.n.fence != "" }

// unanswered returns an error if the coordinator cannot reach the bus or gets no answer now.
func (r registry) unanswered() error {
	if r.n.w.claims.away(r.n) || r.n.w.claims.happens(ClaimUnanswered) {
		r.n.hindered = r.n.w.now
		return errUncertain
	}
	return nil
}

// Read implements ownership.Registry.
func (r registry) Read(context.Context) (e ownership.Entry, err error) {
	c := r.n.w.claims
	if err := r.unanswered(); err != nil {
		return e, err
	}
	if c.claim != nil {
		copied := *c.claim
		e.Claim, e.At.Sequence = &copied, c.at
	}
	e.Pulse = c.pulse
	return e, nil
}

// Write implements ownership.Registry. It takes several steps, and the connection may be lost after
// each.
func (r registry) Write(_ context.Context, claim *ownership.Claim, over ownership.Position) (at ownership.Position, err error) {
	n, c := r.n, r.n.w.claims
	if c.away(n) {
		n.hindered = c.w.now
		return at, errUncertain
	}
	n.fence = ""
	if over.Sequence != c.at && c.w.bug != BugBothGoOn {
		return at, ownership.ErrChanged
	}
	c.note(n, claim)
	c.sequence++
	copied := *claim
	c.claim, c.at = &copied, c.sequence
	if err := r.unanswered(); err != nil {
		return at, err // the previous owner's token is still there, and that owner continues
	}
	c.change(n, claim)
	c.token, c.tokenOf = 0, ""
	if !claim.Released.IsZero() {
		n.hasToken, c.holder = false, nil
		return ownership.Position{Sequence: c.at}, nil
	}
	c.sequence++
	c.token, c.tokenOf, n.hasToken = c.sequence, claim.Incarnation, true
	r.raise()
	if err := r.unanswered(); err != nil {
		return at, err
	}
	n.confirmed = c.w.now
	return ownership.Position{Sequence: c.at, Token: c.token}, nil
}

// note records coverage points of a new claim.
func (c *claims) note(n *node, claim *ownership.Claim) {
	switch {
	case !claim.Released.IsZero():
	case c.claim == nil && n.possesses:
		c.w.coverage[ClaimedAgain]++
	case c.claim != nil && !c.claim.Released.IsZero():
		c.w.coverage[Freed]++
	}
}

// displace makes another store take over the prefix.
func (c *claims) displace() {
	for _, n := range c.w.nodes {
		if n.ended != nil {
			n.takeOver = true
			c.w.after(c.rng.span(0, time.Second), n.start)
			return
		}
	}
	if len(c.w.nodes) < mostNodes && c.holder != nil {
		c.add(c.w.copyOf(c.holder.volume), true)
	}
}

// change records the new owner of the prefix.
func (c *claims) change(n *node, claim *ownership.Claim) {
	c.tenures++
	c.holder = &tenure{volume: n.volume, by: n, number: claim.Number, order: c.tenures, at: c.w.now}
	c.last, n.holds = c.holder, c.holder
	if c.w.healed && !c.w.repairing {
		c.w.repairing = true
		c.w.after(time.Second, c.w.repair)
	}
}

// raise raises the fence, unless the command stream refuses it.
func (r registry) raise() {
	n, c := r.n, r.n.w.claims
	if c.fences && !c.happens(BusRefuses) {
		c.fence, n.fence = n.incarnation, n.incarnation
	}
}

// Confirm implements ownership.Registry.
func (r registry) Confirm(_ context.Context, at ownership.Position) error {
	n, c := r.n, r.n.w.claims
	switch {
	case c.away(n):
		n.hindered = c.w.now
		return errUncertain
	case c.w.bug == BugBothGoOn && c.claim != nil:
	case !n.hasToken, at.Token != c.token, n.incarnation != c.tokenOf:
		return ownership.ErrChanged
	}
	c.sequence++
	c.pulse = c.sequence
	if n.fence == "" || c.fence != n.fence {
		n.fence = ""
		r.raise()
	}
	if err := r.unanswered(); err != nil {
		return err
	}
	n.confirmed = c.w.now
	return nil
}

// memory is the claim saved in a volume.
type memory struct{ n *node }

// LoadClaim implements ownership.ClaimStore.
func (m memory) LoadClaim(context.Context) (ownership.SavedClaim, error) {
	return m.n.volume.owned, nil
}

// SaveClaim implements ownership.ClaimStore.
func (m memory) SaveClaim(_ context.Context, o ownership.SavedClaim) error {
	w, v := m.n.w, m.n.volume
	if w.claims.happens(CrashBeforeCommit) {
		return errDied
	}
	o.Store = v.owned.Store
	v.owned = o
	if w.claims.happens(CrashAfterCommit) {
		return errDied
	}
	return nil
}

// errFenced is the error with which the bus refuses a command of a replaced owner.
var errFenced = fmt.Errorf("%w: another last sequence", transport.ErrFenced)

// take accepts a coordinator's message if the coordinator can reach the bus and the fence permits
// the message.
func (c *claims) take(n *node, e *transport.Envelope) error {
	switch {
	case c.away(n):
		n.hindered = c.w.now
		return errUncertain
	case e.Type == transport.TypeCommand && c.fences && (n.fence == "" || n.fence != c.fence):
		c.w.coverage[Fenced]++
		n.after(time.Millisecond, n.tick)
		return errFenced
	}
	c.w.bus.sender = n
	defer func() { c.w.bus.sender = nil }()
	return c.w.bus.publish(e)
}

// deliver delivers an answer to the coordinators that may receive it, and returns false. For a
// command, it returns true if the caller can deliver the command now.
func (c *claims) deliver(m *message) bool {
	if c.w.now < c.awayUntil {
		return false
	}
	if m.stream == transport.StreamCommands {
		return true
	}
	for _, n := range c.w.nodes {
		if n.serves && !c.away(n) && n.subscription() == c.consumer && n.keeper.Confirmed() {
			n.receive(m)
		}
	}
	return false
}

// takes reports whether the bus accepts a coordinator's acknowledgement. The bus accepts it only if
// the subscription still belongs to that coordinator.
func (c *claims) takes(n *node) bool { return n.subscription() == c.consumer && !c.away(n) }

// weather causes random disturbances of stores and owners.
func (c *claims) weather() {
	w, d := c.w, c.rng
	n, room := pick(d, w.nodes), len(w.nodes) < mostNodes
	if c.happens(BusAway) {
		if d.chance(0.5) {
			c.awayUntil = w.now + d.span(time.Second, 40*time.Second)
		} else {
			c.cutOff(n)
		}
	}
	if d.chance(0.1) {
		c.backup = w.copyOf(w.front())
	}
	if c.strikes(Copies, room) {
		c.add(w.copyOf(n.volume), false)
		if d.chance(0.5) {
			n.vanish(d.span(10*time.Second, time.Minute))
		}
	}
	if c.strikes(Restores, room && c.backup != nil) {
		v := w.copyOf(c.backup)
		v.owned = ownership.SavedClaim{Store: fmt.Sprintf("v%d", len(w.volumes)+1)}
		c.add(v, d.chance(0.6))
	}
	if c.strikes(OtherStores, room) {
		c.add(w.newVolume(fmt.Sprintf("v%d", len(w.volumes)+1)), d.chance(0.4))
	}
	if c.strikes(Moves, n.up && !n.frozen) {
		n.vanish(d.span(time.Second, 5*time.Second))
		n.machine++
	}
	if c.strikes(Stops, n.up && !n.frozen && n.pausedUntil <= w.now) {
		n.stop(d.span(time.Second, time.Minute))
	}
	if c.strikes(TakesOver, n.ended != nil) {
		n.takeOver = true
		n.start()
	}
}

// cutOff disconnects the owner from the bus, or n if there is no owner. In a long outage, another
// store takes over, and the clock of the disconnected machine may be set back.
func (c *claims) cutOff(n *node) {
	w, d := c.w, c.rng
	if c.holder != nil {
		n = c.holder.by
	}
	n.cutUntil = w.now + d.span(time.Second, 40*time.Second)
	if d.chance(0.3) {
		return
	}
	n.cutUntil += 20 * time.Second
	c.displace()
	if w.mix[ClockJumps] > 0 {
		w.faults[ClockJumps]++
		n.jump(-d.span(20*time.Second, time.Minute))
	}
}

// add starts a coordinator with a further volume on a further machine.
func (c *claims) add(v *volume, takeOver bool) {
	w := c.w
	v.name = fmt.Sprintf("v%d", len(w.volumes)+1)
	w.volumes = append(w.volumes, v)
	n := newNode(w, v, c.rng.between(1, 32), c.rng.between(1, 16))
	n.machine, n.takeOver, n.uptime = 100*len(w.nodes), takeOver, c.rng.span(time.Hour, 1000*time.Hour)
	w.nodes = append(w.nodes, n)
	wait := 20 * time.Second
	if takeOver {
		wait = time.Second
	}
	w.after(c.rng.span(0, wait), n.start)
}

// repair ensures that there is an owner after the faults. It reports whether it has to be called
// again.
func (c *claims) repair() bool {
	w := c.w
	for _, n := range w.nodes {
		if n.up && n.possesses {
			c.ownerless = 0
			if c.behind { // the owner's clock was slow: correct the clock, and recreate the claim
				c.behind, n.offset, n.takeOver = false, 0, true
				n.stop(time.Second)
				return true
			}
			return false
		}
	}
	if c.ownerless == 0 {
		c.ownerless = w.now
	}
	if w.now-c.ownerless < time.Minute {
		return true
	}
	c.ownerless = w.now
	n := w.nodes[0]
	if c.last != nil {
		n = c.last.by
	}
	n.takeOver, n.up = true, false
	n.start()
	return true
}

// atRest reports whether only checks of the claim are still scheduled.
func (c *claims) atRest() bool {
	if !c.w.healed || len(c.w.schedule) > c.ticks {
		return false
	}
	owners := 0
	for _, n := range c.w.nodes {
		if n.up && !n.possesses {
			return false
		}
		if n.up {
			owners++
		}
	}
	return owners <= 1
}

// front returns the volume that callers and operators see: the volume of the current owner, or else
// of the last owner.
func (w *world) front() *volume {
	if w.claims == nil {
		return w.volumes[0]
	}
	for _, n := range w.nodes {
		if n.up && n.possesses && n.holds == w.claims.last {
			return n.volume
		}
	}
	if w.claims.last != nil {
		return w.claims.last.volume
	}
	return w.volumes[0]
}

// anyNode returns the coordinator for a request, usually one that accepts requests.
func (w *world) anyNode() *node {
	n := pick(w.rng, w.nodes)
	if w.claims == nil || n.serves || w.rng.chance(0.1) {
		return n
	}
	for _, other := range w.nodes {
		if other.serves {
			return other
		}
	}
	return n
}
