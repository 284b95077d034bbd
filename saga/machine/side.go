package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// SideState is the state of one side of a step, its do or its undo. The set is closed.
type SideState uint8

// The states of a side. In the parked states, the side waits for an operator.
const (
	SideIdle           SideState = iota // not requested
	SideAwaitingAnswer                  // requested; times out at Due
	SideBackingOff                      // the last attempt failed; the next one starts at Due
	SideRetryRequested                  // retried by an operator while paused; sent when the saga is resumed
	SideParkedUnasked                   // parked; nothing was ever sent
	SideParkedUnknown                   // parked; the outcome is unknown, or the undo was rejected
	SideParkedRejected                  // parked; rejected past the point of no return
	SideDone                            // do only: completed
	SideUndone                          // undo only: completed
	SideRejected                        // do only: rejected, without any effect
	SideUnknown                         // do only: requested, but the outcome is unknown; may have happened
	SideNotTaken                        // do only: cannot be requested, or its command was never sent
	SideSkipped                         // an operator decided to continue without this side
	sideStates
)

// Side is the state of one side of a step, with only the data that this state needs. The zero Side
// is idle. NewSide creates others; Decide changes them.
type Side struct {
	state      SideState
	attempt    int
	maxAttempt int
	at         time.Time // Due or ParkedSince
	command    uint64
	reason     string
}

// State returns the state of the side.
func (s *Side) State() SideState { return s.state }

// Attempt returns the number of the newest attempt, or 0 if there is none. It restarts from 1 if a
// step whose command was never sent is requested again.
func (s *Side) Attempt() int { return s.attempt }

// MaxAttempt returns the number of the last attempt that is made automatically. An operator's retry
// raises it.
func (s *Side) MaxAttempt() int { return s.maxAttempt }

// Due returns when the attempt times out or the next one starts, or zero if neither is pending.
func (s *Side) Due() time.Time {
	if !s.timed() {
		return time.Time{}
	}
	return s.at
}

// ParkedSince returns when the side was parked, or zero if it is not parked.
func (s *Side) ParkedSince() time.Time {
	if !s.Parked() {
		return time.Time{}
	}
	return s.at
}

// Command returns the revision whose commit enqueued the command of the current attempt, or 0 if no
// command is pending.
func (s *Side) Command() uint64 { return s.command }

// Reason returns the reason of the last rejection or failure, or why the side is parked.
func (s *Side) Reason() string { return s.reason }

// Parked reports whether the side waits for an operator.
func (s *Side) Parked() bool {
	return s.state == SideParkedUnasked || s.state == SideParkedUnknown || s.state == SideParkedRejected
}

// Equal reports whether two sides are equal.
func (s Side) Equal(other Side) bool {
	same := s.at.Equal(other.at)
	s.at, other.at = time.Time{}, time.Time{}
	return same && s == other
}

// Waiting reports whether the side is between two attempts.
func (s *Side) Waiting() bool {
	return s.state == SideBackingOff || s.state == SideRetryRequested
}

// open reports whether the side was requested and has not ended.
func (s *Side) open() bool {
	return s.state == SideAwaitingAnswer || s.Waiting() || s.state == SideParkedUnknown
}

func (s *Side) timed() bool { return s.state == SideAwaitingAnswer || s.Waiting() }

func (s *Side) due(at time.Time) bool {
	due := s.Due()
	return !due.IsZero() && !due.After(at)
}

// timer returns the kind of timer that Due is for, or "" if there is none.
func (s *Side) timer() contract.Timer {
	switch {
	case s.state == SideAwaitingAnswer:
		return contract.TimerTimeout
	case s.Waiting():
		return contract.TimerRetry
	}
	return ""
}

// SideData holds the fields of a Side, for encoding.
type SideData struct {
	State      SideState
	Attempt    int
	MaxAttempt int
	Due        time.Time
	Parked     time.Time
	Command    uint64
	Reason     string
}

// Data returns the fields of the side.
func (s *Side) Data() SideData {
	return SideData{s.state, s.attempt, s.maxAttempt, s.Due(), s.ParkedSince(), s.command, s.reason}
}

// NewSide returns the do or undo of a step. It refuses data that Decide never produces.
func NewSide(direction contract.Direction, d SideData) (Side, error) {
	s := Side{state: d.State, attempt: d.Attempt, maxAttempt: d.MaxAttempt, at: d.Due, command: d.Command, reason: d.Reason}
	if s.Parked() {
		s.at = d.Parked
	}
	ofDo := d.State == SideDone || d.State == SideRejected || d.State == SideUnknown || d.State == SideNotTaken || d.State == SideParkedUnasked || d.State == SideParkedRejected
	switch {
	case d.State >= sideStates:
		return Side{}, fmt.Errorf("state %d of the %s is unknown", d.State, direction)
	case direction == contract.DirectionUndo && ofDo, direction == contract.DirectionDo && d.State == SideUndone:
		return Side{}, fmt.Errorf("state %d is not a state of the %s", d.State, direction)
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

// StepState is the state of one step of a saga.
type StepState struct {
	Do, Undo Side
	Result   []byte // result of the do
}

// Side returns the do or the undo.
func (s *StepState) Side(direction contract.Direction) *Side {
	if direction == contract.DirectionUndo {
		return &s.Undo
	}
	return &s.Do
}

// Direction returns the direction of the current or last side: undo once the undo has begun.
func (s *StepState) Direction() contract.Direction {
	if s.Undo.state != SideIdle {
		return contract.DirectionUndo
	}
	return contract.DirectionDo
}

// Current returns the side in the current Direction.
func (s *StepState) Current() *Side { return s.Side(s.Direction()) }

// Status returns a status that combines both sides.
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

// State returns the state of step i for package compensation.
func (in *Instance) State(i int) compensation.State {
	switch in.Steps[i].Status() {
	case contract.StepDoing:
		return compensation.Doing
	case contract.StepDone:
		return compensation.Done
	case contract.StepRejected:
		return compensation.Rejected
	case contract.StepUnknown:
		return compensation.Unknown
	case contract.StepUndoing:
		return compensation.Undoing
	case contract.StepUndone:
		return compensation.Undone
	case contract.StepSkipped:
		return compensation.Skipped
	case contract.StepPending:
	}
	return compensation.Pending
}

// Only the following methods change a side. Decide alone calls them.

// allow permits the given number of further attempts.
func (s *Side) allow(attempts int) { s.maxAttempt, s.reason = s.attempt+attempts, "" }

// ask starts the next attempt.
func (s *Side) ask(due time.Time, command uint64) {
	s.state, s.attempt, s.at, s.command = SideAwaitingAnswer, s.attempt+1, due, command
}

// wait schedules the next attempt.
func (s *Side) wait(state SideState, due time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, due, 0, reason
}

// park makes the side wait for an operator.
func (s *Side) park(state SideState, since time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, since, 0, reason
}

// end ends the side. With SideNotTaken the attempts are reset, because nothing was sent. With
// SideIdle the side is as if it had never been requested.
func (s *Side) end(state SideState, reason string) {
	s.state, s.at, s.command, s.reason = state, time.Time{}, 0, reason
	switch state {
	case SideNotTaken:
		s.attempt = 0
	case SideIdle:
		*s = Side{}
	}
}

// stop removes the timer of a side whose saga is abandoned. A side between two attempts then counts
// as awaiting an answer.
func (s *Side) stop() {
	if s.timed() {
		s.state, s.at, s.command = SideAwaitingAnswer, time.Time{}, 0
	}
}

// shift moves Due by a duration.
func (s *Side) shift(by time.Duration) {
	if s.timed() && !s.at.IsZero() {
		s.at = s.at.Add(by)
	}
}
