package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
)

// SideState is where one side of a step, its do or its undo, stands. The set is closed.
type SideState uint8

// The states of a side. Those that wait for an operator are parked.
const (
	SideIdle           SideState = iota // not asked for
	SideAwaitingAnswer                  // asked for, until Due
	SideBackingOff                      // the last attempt failed; the next one goes out at Due
	SideRetryRequested                  // an operator's retry in a pause; it goes out when the saga is resumed
	SideParkedUnasked                   // parked: nothing was ever sent
	SideParkedUnknown                   // parked: what became of it is unknown, or of an undo that it was rejected
	SideParkedRejected                  // parked: rejected past the point of no return
	SideDone                            // of a do: completed
	SideUndone                          // of an undo: completed
	SideRejected                        // of a do: rejected, it left no trace
	SideUnknown                         // of a do: asked for, outcome not known: it may have happened
	SideNotTaken                        // of a do: it cannot be asked for, or its command was never sent
	SideSkipped                         // an operator decided to go on without it
	sideStates
)

// Side is where one side of a step stands, with what belongs to that state and nothing else.
// The zero Side is idle. NewSide makes others; Decide moves them.
type Side struct {
	state      SideState
	attempt    int
	maxAttempt int
	at         time.Time // Due or ParkedSince
	command    uint64
	reason     string
}

// State returns where the side stands.
func (s *Side) State() SideState { return s.state }

// Attempt returns the number of the newest attempt; 0: none yet. It starts again
// from 1 when a step that was never sent is asked for again.
func (s *Side) Attempt() int { return s.attempt }

// MaxAttempt returns the number of the attempt after which no other follows by itself. An
// operator's retry raises it.
func (s *Side) MaxAttempt() int { return s.maxAttempt }

// Due returns when an attempt times out or the next one goes out; zero: nothing is awaited.
func (s *Side) Due() time.Time {
	if !s.timed() {
		return time.Time{}
	}
	return s.at
}

// ParkedSince returns since when the side waits for an operator; zero: it does not.
func (s *Side) ParkedSince() time.Time {
	if !s.Parked() {
		return time.Time{}
	}
	return s.at
}

// Command returns the revision whose commit enqueues the command of the attempt that is awaited;
// 0: none is pending.
func (s *Side) Command() uint64 { return s.command }

// Reason returns the last rejection or failure, or why the side is parked.
func (s *Side) Reason() string { return s.reason }

// Parked reports whether the side waits for an operator.
func (s *Side) Parked() bool {
	return s.state == SideParkedUnasked || s.state == SideParkedUnknown || s.state == SideParkedRejected
}

// Equal reports whether two sides are the same.
func (s Side) Equal(other Side) bool {
	same := s.at.Equal(other.at)
	s.at, other.at = time.Time{}, time.Time{}
	return same && s == other
}

// Waiting reports whether the side is between two attempts.
func (s *Side) Waiting() bool {
	return s.state == SideBackingOff || s.state == SideRetryRequested
}

// open reports whether the side is asked for and has not ended.
func (s *Side) open() bool {
	return s.state == SideAwaitingAnswer || s.Waiting() || s.state == SideParkedUnknown
}

func (s *Side) timed() bool { return s.state == SideAwaitingAnswer || s.Waiting() }

func (s *Side) due(at time.Time) bool {
	due := s.Due()
	return !due.IsZero() && !due.After(at)
}

// timer is what Due is the time of; "": of nothing.
func (s *Side) timer() contract.Timer {
	switch {
	case s.state == SideAwaitingAnswer:
		return contract.TimerTimeout
	case s.Waiting():
		return contract.TimerRetry
	}
	return ""
}

// A side goes from one state to another by the functions below, and no other way; a decision
// calls them through those in move.go.

// ask begins the next attempt.
func (s *Side) ask(due time.Time, command uint64) {
	s.state, s.attempt, s.at, s.command = SideAwaitingAnswer, s.attempt+1, due, command
}

// wait lets the next attempt follow later.
func (s *Side) wait(state SideState, due time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, due, 0, reason
}

// allow lets so many attempts follow.
func (s *Side) allow(attempts int) { s.maxAttempt, s.reason = s.attempt+attempts, "" }

// park lets the side wait for an operator.
func (s *Side) park(state SideState, since time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, since, 0, reason
}

// end ends the side. One that was not taken was not attempted either: nothing was sent.
func (s *Side) end(state SideState, reason string) {
	s.state, s.at, s.command, s.reason = state, time.Time{}, 0, reason
	if state == SideNotTaken {
		s.attempt = 0
	}
}

// stop ends the waiting of a side whose saga is abandoned; what was under way stays so.
func (s *Side) stop() {
	if s.timed() {
		s.state, s.at, s.command = SideAwaitingAnswer, time.Time{}, 0
	}
}

// shift moves Due.
func (s *Side) shift(by time.Duration) {
	if s.timed() && !s.at.IsZero() {
		s.at = s.at.Add(by)
	}
}

// SideData is what a Side is made of, for codecs.
type SideData struct {
	State      SideState
	Attempt    int
	MaxAttempt int
	Due        time.Time
	Parked     time.Time
	Command    uint64
	Reason     string
}

// Data returns what the side is made of.
func (s *Side) Data() SideData {
	return SideData{s.state, s.attempt, s.maxAttempt, s.Due(), s.ParkedSince(), s.command, s.reason}
}

// NewSide makes the do or the undo of a step. It refuses what Decide never makes.
func NewSide(direction contract.Direction, d SideData) (Side, error) {
	s := Side{state: d.State, attempt: d.Attempt, maxAttempt: d.MaxAttempt, at: d.Due, command: d.Command, reason: d.Reason}
	if s.Parked() {
		s.at = d.Parked
	}
	ofDo := d.State == SideDone || d.State == SideRejected || d.State == SideUnknown || d.State == SideNotTaken || d.State == SideParkedUnasked || d.State == SideParkedRejected
	switch {
	case d.State >= sideStates:
		return Side{}, fmt.Errorf("state %d of the %s is not known here", d.State, direction)
	case direction == contract.DirectionUndo && ofDo, direction == contract.DirectionDo && d.State == SideUndone:
		return Side{}, fmt.Errorf("state %d is none of the %s", d.State, direction)
	case d.State == SideIdle && d != (SideData{}):
		return Side{}, fmt.Errorf("the idle %s has fields set that belong to other states", direction)
	case !s.timed() && !d.Due.IsZero(), !s.Parked() && !d.Parked.IsZero(), s.state != SideAwaitingAnswer && d.Command != 0:
		return Side{}, fmt.Errorf("state %d of the %s has a time or a command that does not belong to it", d.State, direction)
	case s.Parked() && d.Parked.IsZero(), s.Waiting() && d.Due.IsZero():
		return Side{}, fmt.Errorf("state %d of the %s lacks its time", d.State, direction)
	case d.Attempt < 0 || d.MaxAttempt < 0:
		return Side{}, errors.New("an attempt has a negative number")
	}
	return s, nil
}

// StepState is where one step of a saga stands.
type StepState struct {
	Do, Undo Side
	Result   []byte // of the do
}

// Side returns the do or the undo.
func (s *StepState) Side(direction contract.Direction) *Side {
	if direction == contract.DirectionUndo {
		return &s.Undo
	}
	return &s.Do
}

// Direction returns the side that is at work or was last: the undo as soon as that was begun.
func (s *StepState) Direction() contract.Direction {
	if s.Undo.state != SideIdle {
		return contract.DirectionUndo
	}
	return contract.DirectionDo
}

// Current returns the side of Direction.
func (s *StepState) Current() *Side { return s.Side(s.Direction()) }

// Status returns both sides in a word.
func (s *StepState) Status() contract.StepStatus {
	switch s.Undo.state {
	case SideIdle:
	case SideUndone:
		return contract.StepUndone
	case SideSkipped:
		return contract.StepSkipped
	default:
		return contract.StepUndoing
	}
	switch s.Do.state {
	case SideIdle, SideNotTaken, SideParkedUnasked:
		return contract.StepPending
	case SideDone:
		return contract.StepDone
	case SideRejected, SideParkedRejected:
		return contract.StepRejected
	case SideUnknown:
		return contract.StepUnknown
	case SideSkipped:
		return contract.StepSkipped
	}
	return contract.StepDoing
}
