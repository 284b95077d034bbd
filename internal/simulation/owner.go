package simulation

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// owner holds what a process knows about its claim: the real Keeper, and the state that the
// coordinator keeps for it.
type owner struct {
	keeper      *ownership.Keeper
	incarnation string
	machine     int           // number of the machine, and of the boot of that machine
	uptime      time.Duration // uptime of the machine when the run began, at least an hour
	takeOver    bool
	possesses   bool   // the process owns the prefix
	sure        bool   // the ownership was confirmed at the last check
	hasToken    bool   // the process has written a token
	fence       string // fence that it has raised; "" if none
	ticked      int    // number of the current check of the claim; older checks are ignored
	holds       *tenure
	sends       *tenure // claim under which it is sending now
	late        bool    // the process was paused between checking its claim and sending
	ended       *ownership.NotOwnerError

	held      time.Duration // end of the latest pause of the process
	hindered  time.Duration // last time at which it could not update its claim
	confirmed time.Duration // last time at which its ownership was confirmed
}

// errUnsure is returned instead of sending while ownership is unconfirmed.
var errUnsure = fmt.Errorf("ownership of the prefix is unconfirmed: %w", transport.ErrFenced)

// lease is the monotonic clock of the keeper. Setting the time of day does not change it.
func (n *node) lease() time.Duration {
	if n.w.bug == BugLeaseByWallClock {
		return n.uptime + n.w.now + n.offset
	}
	return n.uptime + n.w.now
}

// place returns the machine's boot and the store's directory, by which a claim is recognized after
// a crash.
func (n *node) place() (boot, directory string) {
	if n.w.bug == BugCopyIsOriginal {
		return "m", n.volume.owned.Store
	}
	boot = fmt.Sprintf("m%d", n.machine)
	return boot, boot + "/" + n.volume.name
}

// seek starts the keeper, which looks for the process's claim.
func (n *node) seek() {
	c := n.w.claims
	n.incarnation = fmt.Sprintf("%s-%d", n.name, n.life)
	n.ended, n.possesses, n.sure, n.hasToken, n.fence, n.sends, n.hindered = nil, false, false, false, "", nil, -1
	boot, directory := n.place()
	n.keeper = ownership.New(ownership.Config{
		Registry: registry{n}, Store: memory{n},
		Me:       ownership.Claim{Prefix: transport.DefaultPrefix, Incarnation: n.incarnation, Host: boot, Boot: boot, File: directory},
		TakeOver: n.takeOver, Clock: n.lease, Now: func() time.Time { return epoch.Add(n.w.now + n.offset) },
	})
	heir := c.claim != nil && c.claim.Released.IsZero() && c.claim.Boot == boot && c.claim.File == directory
	if n.w.bug == BugClaimsAfterSending {
		n.begin()
	}
	n.tick()
	switch {
	case !heir || !n.up || n.hindered == n.w.now:
	case !n.possesses:
		n.w.claims.violated("%s, whose process was killed, is not the owner again at once", n.volume.name)
	case n.sure:
		n.w.coverage[Heir]++
	}
}

// tick runs the next step of the keeper.
func (n *node) tick() {
	if n.keeper == nil || n.ended != nil {
		return
	}
	before := n.keeper.Status()
	again, err := n.keeper.Step(n.w.ctx)
	var owned *ownership.NotOwnerError
	switch {
	case errors.As(err, &owned):
		n.end(owned)
		return
	case err != nil:
		n.crash("around its claim")
		return
	}
	if n.keeper.Status().Owner && !n.possesses {
		n.possess(before)
	}
	if !n.up {
		return
	}
	n.ticked++
	this, life, c := n.ticked, n.life, n.w.claims
	if c.atRest() {
		return
	}
	c.ticks++
	n.w.after(again, func() {
		c.ticks--
		if n.ticked == this {
			n.resume(life, n.tick)
		}
	})
	n.feel()
}

// possess starts the process's work after its claim has succeeded.
func (n *node) possess(before ownership.Status) {
	seen, claim := &n.w.coverage, n.keeper.Status().Claim
	switch {
	case n.takeOver && claim.TakenFrom != "":
		seen[TookOver]++
	case before.Claim.Store == claim.Store && before.Claim.Incarnation != claim.Incarnation:
		seen[Waited]++
	}
	n.possesses, n.takeOver = true, false
	n.record(Record{Kind: Claimed, Who: n.name, Under: n.holds})
	if !n.serves {
		n.begin()
	}
	if n.up {
		n.resubscribe()
	}
}

// feel handles the return from unconfirmed to confirmed ownership.
func (n *node) feel() {
	n.w.claims.checkAlone(n)
	sure := n.possesses && n.keeper.Confirmed()
	if sure && !n.sure {
		n.relay.Resend()
		n.pump(0)
	}
	n.sure = sure
}

// subscription returns the name of the subscription to the answers.
func (n *node) subscription() string {
	return fmt.Sprintf("%s-%d", n.volume.owned.Store, n.keeper.Number())
}

// resubscribe recreates the subscription to the answers if it is missing. It repeats this every few
// seconds.
func (n *node) resubscribe() {
	c := n.w.claims
	if n.ended != nil || !n.possesses {
		return
	}
	if name := n.subscription(); n.keeper.Confirmed() && c.consumer != name && !c.away(n) {
		if n.w.bug == BugResubscribesBlindly || n.keeper.Check(n.w.ctx) == nil {
			c.consumer = name
			n.record(Record{Kind: Subscribed, Who: n.name, Under: n.holds})
		}
	}
	if c.atRest() {
		return
	}
	life := n.life
	c.ticks++
	n.w.after(c.rng.span(time.Second, 3*time.Second), func() { c.ticks--; n.resume(life, n.resubscribe) })
}

// owns checks whether the process may send. The process may be paused between this check and
// sending.
func (n *node) owns() error {
	n.late = false
	c := n.w.claims
	switch {
	case c == nil:
		return nil
	case n.w.bug == BugClaimsAfterSending && !n.possesses:
		n.sends = nil
		return nil
	case !n.keeper.Confirmed():
		return errUnsure
	}
	n.sends = n.holds
	if c.strikes(PausesBeforeSending, !c.frozen) {
		if c.rng.chance(0.5) { // the pause matters most during a take-over
			c.displace()
		}
		n.freeze(c.rng.span(time.Second, time.Minute))
	}
	return nil
}

// freeze pauses the process in the middle of a call, while everything else continues. Only one
// process is paused at a time.
func (n *node) freeze(d time.Duration) {
	w := n.w
	until := w.now + d
	n.pausedUntil, n.frozen, w.claims.frozen = max(n.pausedUntil, until), true, true
	n.held = max(n.held, n.pausedUntil)
	for len(w.schedule) > 0 && w.schedule[0].at < n.pausedUntil && n.pausedUntil > w.now && w.events <= eventsPerSaga*(len(w.callers)+1) {
		w.next()
	}
	n.frozen, w.claims.frozen, n.late, n.hindered = false, false, true, w.now
	w.now = max(w.now, n.pausedUntil)
}

// publish publishes an envelope.
func (n *node) publish(e *transport.Envelope) error {
	if n.w.claims != nil {
		return n.w.claims.take(n, e)
	}
	return n.w.bus.publish(e)
}

// record adds an operation of the process on its store to the history.
func (n *node) record(r Record) {
	r.volume, r.life = n.volume, n.life
	if n.w.claims != nil && r.Kind == Accepted && n.keeper != nil && !n.keeper.Confirmed() {
		n.w.coverage[AcceptedUnsure]++
	}
	n.w.record(r)
}

// vanish kills the process and restarts it after d.
func (n *node) vanish(d time.Duration) {
	if !n.up || n.frozen {
		return
	}
	n.up, n.serves, n.possesses = false, false, false
	n.record(Record{Kind: Crashed, Who: n.name, Note: "killed"})
	n.w.after(d, n.restart)
}

// restart starts the process, unless it has ended permanently.
func (n *node) restart() {
	if n.ended == nil {
		n.start()
	}
}

// stop shuts the process down gracefully and restarts it after d.
func (n *node) stop(d time.Duration) {
	if !n.up || n.frozen || n.w.now < n.pausedUntil {
		return
	}
	_ = n.keeper.Release(n.w.ctx)
	n.vanish(d)
}

// end ends the process because another store owns the prefix.
func (n *node) end(owned *ownership.NotOwnerError) {
	w := n.w
	n.up, n.serves, n.possesses, n.ended = false, false, false, owned
	n.record(Record{Kind: Ended, Who: n.name, Note: owned.Error()})
	if !owned.Replaced {
		w.coverage[ClaimRefused]++
	} else {
		w.coverage[Displaced]++
		n.list(n.keeper.UnconfirmedChanges())
	}
	if w.claims.rng.chance(0.3) { // as if a supervisor ignored the exit code
		w.after(w.claims.rng.span(5*time.Second, 30*time.Second), func() {
			if !w.healed {
				n.start()
			}
		})
	}
}

// list checks that a replaced owner lists the sagas that it has accepted or changed since its
// ownership was last confirmed.
func (n *node) list(moved []string) {
	if len(moved) > 0 {
		n.w.coverage[Listed]++
	}
	for _, c := range n.w.callers {
		for _, acc := range n.volume.audit.runs[c.id] {
			if acc.at > n.confirmed && acc.life == n.life && !slices.Contains(moved, string(acc.id)) {
				n.w.claims.violated("%s was moved at %s, its owner was last certain at %s, was replaced, and does not list it", acc.id, acc.at, n.confirmed)
			}
		}
	}
}

// older reports whether a command comes from a replaced owner, as far as the participant's inbox
// knows. The inbox remembers the highest claim number.
func (s *service) older(m *message) bool {
	if m.under == nil || s.weak || s.w.bug == BugInboxIgnoresOwner {
		return false
	}
	older := m.under.number < s.highest
	s.highest = max(s.highest, m.under.number)
	return older
}

// handBack returns a command to the coordinator without executing it.
func (s *service) handBack(m *message) {
	e := &m.envelope
	m.done = true
	s.w.coverage[OlderClaim]++
	if holder := s.w.claims.holder; holder != nil && holder.volume == m.under.volume {
		s.w.claims.behind = true
	}
	s.record(Record{Kind: HandedBack, Who: s.name, Saga: e.Saga, Run: e.TraceParent, Step: e.Step, Direction: e.Direction, Attempt: e.Attempt})
}

// moves records that a saga is changed, as the real coordinator's shards do.
func (n *node) moves(id contract.SagaID) {
	if n.keeper != nil && n.w.bug != BugMovesUnlisted {
		n.keeper.RecordChange(string(id))
	}
}
