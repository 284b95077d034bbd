package store

import (
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Wants reports whether sagas of a class can match the filter. No saga that has
// ended is paused or has a step under way.
func (f *Filter) Wants(c Class) bool {
	open := f.OpenOnly || f.Paused || f.Step != "" || f.Participant != ""
	return (!open || c.Open()) && (len(f.Phases) == 0 || slices.Contains(f.Phases, c.Phase()))
}

// WantsDefinition reports whether sagas of a definition can match.
func (f *Filter) WantsDefinition(r contract.DefinitionRef) bool {
	return (f.Definition == "" || f.Definition == r.Name) && (f.Version == 0 || f.Version == r.Version)
}

// WantsStart reports whether sagas that started then can match. The range is
// half open: StartedAfter belongs to it, StartsBefore does not.
func (f *Filter) WantsStart(t time.Time) bool {
	before := f.StartsBefore()
	return (f.StartedAfter.IsZero() || !t.Before(f.StartedAfter)) && (before.IsZero() || t.Before(before))
}

// StartsBefore is the time before which every saga that matches has started:
// StartedBefore or UpdatedBefore, whichever is earlier, because no saga moves
// before it starts; zero: there is none.
func (f *Filter) StartsBefore() time.Time {
	if f.StartedBefore.IsZero() || !f.UpdatedBefore.IsZero() && f.UpdatedBefore.Before(f.StartedBefore) {
		return f.UpdatedBefore
	}
	return f.StartedBefore
}

// Match reports whether a state matches the filter.
func (f *Filter) Match(in *machine.Instance) bool {
	class, err := ClassOf(in)
	return err == nil && f.Wants(class) && f.WantsDefinition(in.Definition) &&
		f.WantsStart(in.Started) && f.WantsID(in.ID) && f.WantsState(in)
}

// WantsID reports whether the saga with an id can match.
func (f *Filter) WantsID(id contract.SagaID) bool {
	return strings.HasPrefix(string(id), f.IDPrefix) && (len(f.IDs) == 0 || slices.Contains(f.IDs, id))
}

// ByState reports whether the filter asks for something that only a saga's state
// tells: then List loads what it does not return as well.
func (f *Filter) ByState() bool {
	return !f.UpdatedBefore.IsZero() || f.Reason != "" || f.Step != "" || f.Participant != "" || f.Paused
}

// WantsState reports whether a state matches as far as the index does not tell.
func (f *Filter) WantsState(in *machine.Instance) bool {
	return (!f.Paused || in.Paused != nil) &&
		(f.UpdatedBefore.IsZero() || in.Updated.Before(f.UpdatedBefore)) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(Summarize(in).Reason), strings.ToLower(f.Reason))) &&
		(f.Step == "" && f.Participant == "" || f.wantsSteps(in))
}

// wantsSteps reports whether one step that is at work, or parked, is the one that
// is asked for, and one that is at work asks the participant.
func (f *Filter) wantsSteps(in *machine.Instance) bool {
	if f.Definitions == nil || !in.Open() {
		return false
	}
	def := f.Definitions(in.Definition)
	if def == nil || def.Len() != len(in.Steps) {
		return false
	}
	step, participant := f.Step == "", f.Participant == ""
	for i := range in.Steps {
		s := &in.Steps[i]
		status, parked := s.Status(), s.Current().Parked()
		atWork := status == contract.StepDoing || status == contract.StepUndoing
		if !atWork && !parked {
			continue
		}
		named := def.Step(i)
		step = step || named.Name == f.Step
		action := &named.Do
		if status == contract.StepUndoing {
			action = named.Undo
		}
		participant = participant || atWork && !parked && action != nil && action.Participant == f.Participant
	}
	return step && participant
}

// Size is the page's limit with the default and the bounds applied.
func (p Page) Size() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > MaxPage:
		return MaxPage
	}
	return p.Limit
}

// Bounded is a limit that a caller gave to History, Due or Expire: below 1 it
// means MaxPage.
func Bounded(limit int) int {
	if limit < 1 {
		return MaxPage
	}
	return limit
}

// Summarize makes the list's line of a state.
func Summarize(in *machine.Instance) Summary {
	s := Summary{
		ID:         in.ID,
		Definition: in.Definition,
		Phase:      in.Phase,
		Revision:   in.Revision,
		Started:    in.Started,
		Updated:    in.Updated,
		Ended:      in.Ended,
		Paused:     in.Paused,
	}
	if in.Cause != nil {
		s.Reason = in.Cause.Reason
	}
	if in.Phase == contract.Parked {
		for i := range in.Steps {
			if side := in.Steps[i].Current(); side.Parked() && side.Reason() != "" {
				s.Reason = side.Reason()
				break
			}
		}
	}
	return s
}
