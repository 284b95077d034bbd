package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// lookEvery is the interval at which a coordinator that shares its store checks for timers that the
// other coordinator has set.
const lookEvery = 3 * time.Second

// secret is the key for deduplication ids.
var secret = []byte("simulation")

// node is a coordinator's process: the real Engine and Relay, with a version of the Coordinator
// around them that uses no goroutines.
type node struct {
	w     *world
	name  string
	cache int // cache size of the Engine
	batch int // maximum number of inputs in a step

	engine *coordinator.Engine
	relay  *outbox.Relay
	disk   *disk
	inbox  []*work
	free   []*work                     // for reuse
	inputs []coordinator.Input         // inputs of the current step
	timers map[contract.SagaID]bool    // sagas whose timer input is not committed yet
	looks  map[contract.SagaID]look    // the timer check that last woke each saga
	aside  map[contract.SagaID][]*work // inputs waiting for a saga's mappings
	moved  map[contract.SagaID]bool    // sagas changed in this life, for a planted bug

	life                 int // number of starts; calls scheduled in an earlier life are ignored
	up                   bool
	dying                bool // crashes when the current call returns
	recovering           bool
	doomed, overreaching bool // for planted bugs
	busy                 bool // a step is in progress
	kicked               bool // a step is scheduled
	pumping              bool // a round of the relay is scheduled
	lookAt               time.Duration
	offset               time.Duration // error of the machine's clock
	known                time.Duration // part of offset that the process has adopted
	total                time.Duration // sum of the clock changes that were adopted
	retiming             int           // sagas to be retimed before timers fire
	pausedUntil          time.Duration
	cutUntil             time.Duration // end of the disconnection from the bus

	answered *coordinator.Answered
	overtook bool          // the process has stopped waiting for answers
	askedAt  time.Duration // when it last asked the bus for its newest answer

	volume *volume
	serves bool // accepts starts and answers
	frozen bool // paused in the middle of a call
	owner       // its claim
}

// look describes the timer check that found a saga due.
type look struct {
	at       time.Duration // answers that were on the bus at this time must be taken in first
	overtook bool
}

// work is one input on its way through a node.
type work struct {
	input coordinator.Input
	from  *message                 // set for an answer
	reply func(coordinator.Result) // set for a request
	timer bool
}

func newNode(w *world, v *volume, cache, batch int) *node {
	n := &node{w: w, name: fmt.Sprintf("c%d", len(w.nodes)+1), volume: v, cache: cache, batch: batch}
	n.disk = &disk{Store: v.store, n: n}
	return n
}

// clock returns the time as the process sees it.
func (n *node) clock() time.Time { return epoch.Add(n.w.now + n.known) }

// after schedules a call in the current life of the process. A pause delays the call.
func (n *node) after(d time.Duration, call func()) {
	life := n.life
	n.w.after(d, func() { n.resume(life, call) })
}

func (n *node) resume(life int, call func()) {
	if n.life != life || !n.up {
		return
	}
	wait := n.pausedUntil - n.w.now
	if n.frozen {
		wait = max(wait, time.Millisecond)
	}
	if wait > 0 {
		n.w.after(wait, func() { n.resume(life, call) })
		return
	}
	call()
}

// start starts the process.
func (n *node) start() {
	if n.up {
		return
	}
	w := n.w
	n.life++
	n.up, n.dying, n.doomed, n.busy, n.kicked, n.pumping, n.lookAt = true, false, false, false, false, false, -1
	n.looks = map[contract.SagaID]look{}
	n.answered = coordinator.NewAnswered(n, func() { n.overtook = true })
	n.inbox, n.timers, n.moved, n.aside = nil, map[contract.SagaID]bool{}, map[contract.SagaID]bool{}, map[contract.SagaID][]*work{}
	n.record(Record{Kind: Restarted, Who: n.name})
	if w.claims != nil {
		n.seek()
		return
	}
	n.begin()
}

// begin starts the process's work: it reads the pending messages and the due timers.
func (n *node) begin() {
	w := n.w
	n.serves = true
	engine, err := coordinator.NewEngine(w.ctx, n.disk, transport.Subjects{}, secret, n.cache, w.definitions...)
	if err != nil {
		n.crash(err.Error())
		return
	}
	n.engine = engine
	if n.setClock() {
		n.engine.FollowClock(func() time.Duration { return n.total })
	}
	if w.mapped {
		n.engine.EvaluateBeside(0)
	}
	n.engine.AskUnsent(func(to outbox.Destination, id outbox.ID) string { return n.relay.Unsent(to, id) })
	credit := w.rng.between(1, 64)
	if n.disk.Shared() {
		credit = 0 // answers taken by the other coordinator free no credit here; the real bus reports what it holds
	}
	n.relay = outbox.NewRelay(n.disk, n.disk, outbox.Options{
		Window: w.rng.between(1, 64), Backlog: w.rng.between(4, 256), Credit: credit, Now: n.clock, OnRefused: n.refused,
		Shared: n.disk.Shared(),
	})
	n.recovering = true
	n.recallClock()
	n.readClock()
	if !n.up {
		return
	}
	n.round()
	if n.up {
		n.look()
	}
	n.recovering = false
}

// crash ends the process immediately.
func (n *node) crash(why string) {
	if !n.up {
		return
	}
	if n.frozen {
		n.dying = true
		return
	}
	n.up, n.serves = false, false
	n.record(Record{Kind: Crashed, Who: n.name, Note: why})
	n.loseOutbox()
	n.w.after(n.w.rng.span(10*time.Millisecond, 5*time.Second), n.start)
}

// jump changes the machine's clock.
func (n *node) jump(by time.Duration) {
	n.offset += by
	if n.serves {
		n.after(n.w.latest.span(0, 2*time.Second), n.readClock)
	}
}

// receive receives an answer from the bus.
func (n *node) receive(m *message) {
	if !n.serves {
		return
	}
	input, _, err := coordinator.ReadAnswer(transport.Subjects{}, &m.envelope, n.clock())
	if err != nil { // becomes a dead letter
		m.done = true
		return
	}
	n.misread(&input, m)
	if n.w.bug == BugAcksFirst {
		n.acknowledge(m, &input)
	}
	n.put(work{input: input, from: m})
}

// put enqueues work for the process.
func (n *node) put(w work) {
	var mine *work
	if last := len(n.free) - 1; last >= 0 {
		mine, n.free = n.free[last], n.free[:last]
	} else {
		mine = new(work)
	}
	*mine = w
	mine.input.ClockOffset = n.total
	n.inbox = append(n.inbox, mine)
	n.kick()
}

// kick schedules a step, unless one is scheduled or in progress.
func (n *node) kick() {
	if n.busy || n.kicked || len(n.inbox) == 0 {
		return
	}
	n.kicked = true
	n.after(time.Millisecond, n.step)
}

// step decides and commits the waiting inputs. Messages are sent after the commit is durable.
func (n *node) step() {
	n.kicked = false
	if n.busy || len(n.inbox) == 0 {
		return
	}
	w := n.w
	batch := n.take()
	if len(batch) == 0 {
		n.kick()
		return
	}
	n.inputs = n.inputs[:0]
	for _, wk := range batch {
		n.inputs = append(n.inputs, wk.input)
	}
	n.busy = true
	out, err := n.engine.Step(w.ctx, n.inputs)
	if err != nil {
		n.crash("around a commit")
		return
	}
	n.setAside(batch, out.Costly)
	delay := 100 * time.Microsecond
	if w.faulty(SlowDisk) {
		delay = w.rng.span(10*time.Millisecond, 10*time.Second)
	}
	n.after(delay, func() {
		n.busy = false
		n.speak(batch, &out)
		for i, wk := range batch {
			if !errors.Is(out.Results[i].Err, machine.ErrCostly) {
				n.free = append(n.free, wk)
			}
		}
		n.kick()
	})
}

// take returns the next batch: the waiting inputs, except those that must wait for their sagas'
// mappings.
func (n *node) take() []*work {
	batch := n.inbox[:min(len(n.inbox), n.batch)]
	n.inbox = n.inbox[len(batch):]
	if len(n.aside) == 0 {
		return batch
	}
	var left []*work
	for _, wk := range batch {
		if id := wk.input.Saga; n.aside[id] != nil {
			n.aside[id] = append(n.aside[id], wk)
		} else {
			left = append(left, wk)
		}
	}
	return left
}

// setAside evaluates mappings outside the engine; their sagas continue after a delay.
func (n *node) setAside(batch []*work, costly []coordinator.Costly) {
	for _, c := range costly {
		for _, i := range c.Inputs {
			n.aside[c.Saga] = append(n.aside[c.Saga], batch[i])
			n.w.coverage[SetAside]++
		}
		n.after(n.w.rng.span(0, 3*time.Second), func() {
			n.engine.Provide(c.Saga, c.Evaluate())
			if n.w.bug != BugForgetsAside {
				n.inbox = append(n.aside[c.Saga], n.inbox...)
			}
			delete(n.aside, c.Saga)
			n.kick()
		})
	}
}

// speak sends the commands, acknowledgements and replies of a batch that is now durable.
func (n *node) speak(batch []*work, out *coordinator.Output) {
	n.relay.Drop(out.Answered)
	n.relay.Supersede(out.Superseded)
	if n.w.bug != BugPushesNothing {
		n.relay.Push(out.Enqueued)
	}
	if n.w.rng.chance(0.5) {
		n.round()
	} else {
		n.pump(n.w.rng.span(0, 5*time.Millisecond))
	}
	for i := range batch {
		wk, r := batch[i], &out.Results[i]
		if !n.up {
			return
		}
		if errors.Is(r.Err, machine.ErrCostly) {
			continue
		}
		if n.w.faulty(CrashBeforeAck) {
			n.crash("before an acknowledgement")
			return
		}
		if wk.from != nil && n.w.bug != BugAcksFirst {
			n.acknowledge(wk.from, &wk.input)
		}
		if wk.reply != nil {
			wk.reply(*r)
		}
		if wk.timer {
			if delete(n.timers, wk.input.Saga); r.Err != nil {
				n.expect(n.w.now + 5*time.Millisecond)
			}
		}
		n.see(wk, r)
		if r.Instance != nil {
			n.moved[wk.input.Saga] = true
			if wake := r.Instance.Wake(); !wake.IsZero() {
				n.expect(n.virtual(wake))
			}
		}
	}
	if n.doomed {
		n.crash("power cut")
	}
}

// acknowledge acknowledges an answer on the bus.
func (n *node) acknowledge(m *message, input *coordinator.Input) {
	m.done = n.w.claims == nil || n.w.claims.takes(n)
	n.record(Record{Kind: Acknowledged, Who: n.name, Saga: input.Saga, Run: m.envelope.TraceParent, Answer: &input.Event})
}

// pump schedules a round of the relay.
func (n *node) pump(delay time.Duration) {
	if n.pumping {
		return
	}
	n.pumping = true
	n.after(delay, func() { n.pumping = false; n.round() })
}

// round makes the relay send a window of messages.
func (n *node) round() {
	handed, refused, err := n.relay.Step(n.w.ctx)
	if err != nil || n.dying {
		n.crash("while sending")
		return
	}
	due, ok := n.relay.Due()
	switch {
	case handed > refused:
		n.pump(time.Millisecond)
	case ok:
		n.pump(max(due.Sub(n.clock()), time.Millisecond))
	}
}

// refused records that the bus will never accept a command.
func (n *node) refused(r outbox.Record, sent bool, err error) {
	if n.w.bug == BugForgetsSent {
		sent = false
	}
	n.put(work{input: coordinator.ReadRefusal(&r, sent, err, n.clock())})
}

// send publishes one envelope.
func (n *node) send(e *transport.Envelope) error {
	err := errUncertain
	if n.cutUntil <= n.w.now || n.w.claims != nil { // in runs with claims, claims.take checks this too
		err = n.publish(e)
	}
	n.record(Record{
		Kind: Sent, Who: n.name, Saga: e.Saga, Run: e.TraceParent, Message: e.ID, Step: e.Step,
		Direction: e.Direction, Attempt: e.Attempt, Taken: err == nil, Never: errors.Is(err, transport.ErrRefusedForGood), Under: n.sends, Late: n.late,
	})
	n.overreach(e)
	return err
}
