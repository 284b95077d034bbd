package simulation

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Kind is the kind of a Record.
type Kind uint8

// The kinds of records, with the fields that each uses besides At, Kind and Who.
const (
	Committed    Kind = iota // a coordinator committed a change of a saga: Saga, Revision, Change
	Sent                     // a coordinator published a message: Saga, Message, Step, Direction, Attempt, Taken
	Discarded                // a relay discarded a message because the bus has accepted it: Saga, Entry
	Acknowledged             // a coordinator acknowledged an answer: Saga, Answer
	Answered                 // a participant published its answer: Saga, Step, Direction, Attempt, Outcome
	Served                   // a participant acknowledged a command: Saga, Step, Direction, Attempt
	Effect                   // a do took effect at a participant: Saga, Step
	Undone                   // an undo took effect at a participant: Saga, Step
	Accepted                 // a caller was answered that the start is accepted: Saga, Revision, Input
	Forgotten                // retention removed an ended saga: Saga
	Refused                  // a caller was answered that the start is refused: Saga, Note
	Crashed                  // a process crashed: Note
	Restarted                // a process started again
	Disturbed                // a fault happened: Note
	Healed                   // the faults are over
	Claimed                  // a store became the owner of the prefix: Under, Note
	Subscribed               // a coordinator made the subscription to the answers: Under
	HandedBack               // a participant returned a replaced owner's command: Saga, Step, Direction, Attempt, Under
	Ended                    // a coordinator ended because another store owns the prefix: Note
)

var kindNames = [...]string{
	"committed", "sent", "discarded", "acknowledged", "answered", "served", "effect", "undone",
	"accepted", "forgotten", "refused", "crashed", "restarted", "fault", "healed",
	"claimed", "subscribed", "handed-back", "ended",
}

// String returns the name of the kind.
func (k Kind) String() string { return kindNames[k] }

// Record is one record of a run's history.
type Record struct {
	At        time.Duration // since the run began
	Kind      Kind
	Who       string // the process or participant
	Saga      contract.SagaID
	Run       string // trace context of the start; distinguishes sagas with the same id
	Step      contract.StepName
	Direction contract.Direction
	Attempt   int
	Outcome   contract.Outcome
	Revision  uint64
	Message   string // id of the message
	Never     bool   // for Sent: the bus will never accept the message
	Taken     bool
	Entry     outbox.ID
	Change    *store.Change
	Answer    *machine.Event
	Input     string
	Note      string
	Under     *tenure // the claim under which it was done or requested; nil if there are no claims
	Late      bool    // for Sent: the process was paused between checking its claim and sending

	life   int     // life of the coordinator's process
	volume *volume // the volume whose history it belongs to; nil for all
}

// String returns the record in readable form.
func (r *Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12s  %-4s %-12s", r.At.Round(time.Microsecond), r.Who, r.Kind)
	if r.Saga != "" {
		fmt.Fprintf(&b, " %s", r.Saga)
	}
	if r.Step != "" {
		fmt.Fprintf(&b, " %s/%s/%d", r.Step, r.Direction, r.Attempt)
	}
	if r.Outcome != "" {
		fmt.Fprintf(&b, " %s", r.Outcome)
	}
	switch r.Kind {
	case Committed:
		b.WriteString(describe(r.Change))
	case Sent:
		if r.Step == "" {
			fmt.Fprintf(&b, " announcement %s", r.Message)
		}
		if !r.Taken {
			b.WriteString(" (not taken)")
		}
	case Discarded:
		fmt.Fprintf(&b, " %s", r.Entry)
	case Acknowledged:
		fmt.Fprintf(&b, " %s/%s/%d %s from %s", r.Answer.Step, r.Answer.Direction, r.Answer.Attempt, r.Answer.Outcome, r.Answer.Participant)
	}
	if r.Note != "" {
		fmt.Fprintf(&b, " %s", r.Note)
	}
	if r.Under != nil {
		fmt.Fprintf(&b, " (claim %d of %s)", r.Under.number, r.Under.volume.name)
	}
	return b.String()
}

// describe summarizes a change: the revision, the event, and the state after it.
func describe(c *store.Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, " %d→%d", c.Expected, c.Instance.Revision)
	for i := range c.Events {
		ev := &c.Events[i]
		fmt.Fprintf(&b, " %s", ev.Type)
		switch ev.Type {
		case contract.EventStepAnswered:
			fmt.Fprintf(&b, "(%s/%s/%d %s)", ev.Step, ev.Direction, ev.Attempt, ev.Outcome)
		case contract.EventOperationTaken:
			fmt.Fprintf(&b, "(%s %s)", ev.Operation, ev.Step)
		}
	}
	fmt.Fprintf(&b, ": %s [", c.Instance.Phase)
	for i := range c.Instance.Steps {
		if i > 0 {
			b.WriteByte(' ')
		}
		s := &c.Instance.Steps[i]
		b.WriteString(string(s.Status()))
		if s.Current().Parked() {
			b.WriteString("(parked)")
		}
	}
	fmt.Fprintf(&b, "] enqueues %d, discards %d", len(c.Enqueue), len(c.Discard))
	return b.String()
}

// Print writes a history, one record per line.
func Print(w io.Writer, history []Record) error {
	for i := range history {
		if _, err := fmt.Fprintln(w, history[i].String()); err != nil {
			return err
		}
	}
	return nil
}

// digest is a hash of the records: equal runs have equal digests. It hashes indexes instead of
// words, so that renaming a word does not change digests. It hashes eight bytes at a time.
type digest uint64

// The digest uses the indexes in these tables instead of the words.
var (
	digestPhases     = [...]contract.Phase{contract.PhaseRunning, contract.PhaseCompensating, contract.PhaseParked, contract.PhaseCompleted, contract.PhaseCompensated}
	digestStatuses   = [...]contract.StepStatus{contract.StepPending, contract.StepDoing, contract.StepDone, contract.StepRejected, contract.StepUnknown, contract.StepUndoing, contract.StepUndone, contract.StepSkipped}
	digestEvents     = [...]contract.EventType{contract.EventStarted, contract.EventStepAnswered, contract.EventTimerFired, contract.EventOperationTaken, contract.EventClockAdjusted}
	digestOutcomes   = [...]contract.Outcome{"", contract.OutcomeCompleted, contract.OutcomeRejected, contract.OutcomeFailed, contract.OutcomeNotSent}
	digestDirections = [...]contract.Direction{"", contract.DirectionDo, contract.DirectionUndo}
)

// indexOf returns the index of a word in a table. An unknown word is a bug in this package.
func indexOf[T comparable](table []T, word T) uint64 {
	i := slices.Index(table, word)
	if i < 0 {
		panic(fmt.Sprintf("the digest has no number for %v", word))
	}
	return uint64(i)
}

func (d *digest) text(s string) {
	d.number(uint64(len(s)))
	for ; len(s) >= 8; s = s[8:] {
		d.number(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	var rest uint64
	for i := range len(s) {
		rest = rest<<8 | uint64(s[i])
	}
	d.number(rest)
}

func (d *digest) number(n uint64) {
	h := (uint64(*d) ^ n) * 0x9e3779b97f4a7c15
	*d = digest(h ^ h>>32)
}

func newDigest() digest { return 14695981039346656037 }

func (d *digest) record(r *Record) {
	d.number(uint64(r.At))
	d.number(uint64(r.Kind))
	d.text(r.Who)
	d.text(string(r.Saga))
	d.text(r.Run)
	d.text(string(r.Step))
	d.number(indexOf(digestDirections[:], r.Direction))
	d.number(indexOf(digestOutcomes[:], r.Outcome))
	d.number(uint64(r.Attempt))
	d.number(r.Revision)
	if r.Step == "" { // an announcement, which its id fully identifies
		d.text(r.Message)
	}
	d.flag(r.Taken)
	d.flag(r.Never)
	if a := r.Answer; a != nil {
		d.text(a.Participant)
		d.text(string(a.Step))
		d.number(indexOf(digestDirections[:], a.Direction))
		d.number(indexOf(digestOutcomes[:], a.Outcome))
		d.number(uint64(a.Attempt))
	}
	if r.Change != nil {
		d.change(r.Change)
	}
	if r.Under != nil {
		d.text(r.Under.volume.name)
		d.number(r.Under.number)
	}
}

func (d *digest) flag(set bool) {
	if set {
		d.number(1)
	} else {
		d.number(0)
	}
}

func (d *digest) change(c *store.Change) {
	d.number(c.Expected)
	d.number(c.Instance.Revision)
	d.number(indexOf(digestPhases[:], c.Instance.Phase))
	if c.Instance.Paused != nil {
		d.number(uint64(c.Instance.Paused.At.UnixNano()))
	}
	for i := range c.Instance.Steps {
		s := &c.Instance.Steps[i]
		d.number(indexOf(digestStatuses[:], s.Status()))
		d.number(uint64(s.Current().Attempt()))
		d.flag(s.Current().Parked())
		d.number(uint64(s.Current().Due().UnixNano()))
	}
	for i := range c.Events {
		d.number(indexOf(digestEvents[:], c.Events[i].Type))
	}
	d.number(uint64(len(c.Enqueue)))
	d.number(uint64(len(c.Discard)))
}
