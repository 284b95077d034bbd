package store

import (
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Wants reports whether sagas of a class can match the filter. Ended sagas are never paused or
// overdue, and have no step in progress.
func (f *Filter) Wants(c Class) bool {
	open := f.OpenOnly || f.Paused || f.Overdue || f.Step != "" || f.Participant != ""
	return (!open || c.Open()) && (len(f.Phases) == 0 || slices.Contains(f.Phases, c.Phase()))
}

// WantsDefinition reports whether sagas of a definition can match.
func (f *Filter) WantsDefinition(r contract.DefinitionRef) bool {
	return (f.Definition == "" || f.Definition == r.Name) && (f.Version == 0 || f.Version == r.Version)
}

// WantsStart reports whether a saga that started at t can match. The range includes StartedAfter
// but not StartsBefore.
func (f *Filter) WantsStart(t time.Time) bool {
	before := f.StartsBefore()
	return (f.StartedAfter.IsZero() || !t.Before(f.StartedAfter)) && (before.IsZero() || t.Before(before))
}

// StartsBefore returns the time before which every matching saga started: the earlier of
// StartedBefore and UpdatedBefore, because no saga is updated before it starts. Zero means no
// limit.
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

// ByState reports whether the filter needs data that is not indexed. List then also loads sagas
// that it does not return.
func (f *Filter) ByState() bool {
	return !f.UpdatedBefore.IsZero() || f.Reason != "" || f.Step != "" || f.Participant != "" || f.Paused || f.Overdue
}

// WantsState reports whether a state matches the parts of the filter that are not indexed.
func (f *Filter) WantsState(in *machine.Instance) bool {
	return (!f.Paused || in.Paused != nil) && (!f.Overdue || in.Overdue) &&
		(f.UpdatedBefore.IsZero() || in.Updated.Before(f.UpdatedBefore)) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(Summarize(in).Reason), strings.ToLower(f.Reason))) &&
		(f.Step == "" && f.Participant == "" || f.wantsSteps(in))
}

// wantsSteps reports whether a state has a step that has the filter's step name and is in progress
// or parked, and a step of the filter's participant that is in progress. These may be two different
// steps.
func (f *Filter) wantsSteps(in *machine.Instance) bool {
	if f.Plans == nil || !in.Open() {
		return false
	}
	plan := f.Plans(in.Definition)
	if plan == nil || len(plan.Steps) != len(in.Steps) {
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
		named := &plan.Steps[i]
		step = step || named.Name == f.Step
		action := &named.Do
		if status == contract.StepUndoing {
			action = named.Undo
		}
		participant = participant || atWork && !parked && action != nil && action.Participant == f.Participant
	}
	return step && participant
}

// Size returns the page's limit with the default and the maximum applied.
func (p Page) Size() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > MaxPage:
		return MaxPage
	}
	return p.Limit
}

// Bounded returns the limit of a History, Due or Expire call, or MaxPage if limit is below 1.
func Bounded(limit int) int {
	if limit < 1 {
		return MaxPage
	}
	return limit
}

// Summarize returns the summary of a state for a list.
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
	if in.Phase == contract.PhaseParked {
		for i := range in.Steps {
			if side := in.Steps[i].Current(); side.Parked() && side.Reason() != "" {
				s.Reason = side.Reason()
				break
			}
		}
	}
	return s
}
