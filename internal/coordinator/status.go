package coordinator

import (
	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// status returns the state of a saga for a reply.
func status(def *saga.Definition, in *machine.Instance, steps bool) *api.Saga {
	s := &api.Saga{
		ID: in.ID, Definition: in.Definition, Phase: in.Phase, Revision: in.Revision,
		Started: in.Started, Updated: in.Updated, Ended: in.Ended, Reason: reasonFor(in), Paused: paused(in.Paused),
		Deadline: in.Deadline, Overdue: in.Overdue, TraceID: transport.TraceID(in.TraceParent),
	}
	if !steps {
		return s
	}
	s.Birth = in.Birth()
	s.Legal = machine.Legal(def.Plan(), in)
	s.Input = payload(in.Input, in.ContentType, false)
	s.PastPivot = compensation.PastPivot(def.Tree(), in.State)
	s.Steps = make([]api.Step, len(in.Steps))
	for i := range in.Steps {
		step := def.Step(i)
		s.Steps[i] = stepStatus(&step, &in.Steps[i])
	}
	if in.Open() {
		for _, wave := range compensation.Plan(def.Tree(), in.State) {
			names := make([]contract.StepName, len(wave))
			for k, i := range wave {
				names[k] = def.Step(i).Name
			}
			s.Undo = append(s.Undo, api.Wave{Steps: names})
		}
	}
	fit(s, maxReply-frameRoom)
	return s
}

// unexplained returns the status of a saga whose definition cannot be read, without its steps.
func unexplained(in *machine.Instance, err error) *api.Saga {
	s := status(nil, in, false)
	s.Birth, s.Input, s.Problem = in.Birth(), payload(in.Input, in.ContentType, false), problem(err.Error())
	fit(s, maxReply-frameRoom)
	return s
}

func paused(p *machine.Pause) *api.Pause {
	if p == nil {
		return nil
	}
	return &api.Pause{Since: p.At, By: p.By, Reason: p.Reason}
}

// stepStatusOf returns a step's status for replies. A parked step is reported as parked, whether
// its do or its undo was in progress.
func stepStatusOf(s *machine.StepState) contract.StepStatus {
	if s.Current().Parked() {
		return contract.StepParked
	}
	return s.Status()
}

func stepStatus(step *saga.Step, state *machine.StepState) api.Step {
	action, direction := &step.Do, contract.DirectionDo
	if step.Undo != nil && (state.Status() == contract.StepUndoing || state.Status() == contract.StepUndone) {
		action, direction = step.Undo, contract.DirectionUndo
	}
	side := state.Current()
	return api.Step{
		Name: step.Name, Kind: step.Kind, Status: stepStatusOf(state), Direction: direction,
		Participant: action.Participant, Action: action.Action,
		Attempt: side.Attempt(), MaxAttempt: side.MaxAttempt(), Due: side.Due(), Waiting: side.Waiting(), Parked: side.ParkedSince(),
		Reason: side.Reason(), Result: result(state.Result),
	}
}

// result returns a step's result, or nil if it has none.
func result(data []byte) *api.Payload {
	if len(data) == 0 {
		return nil
	}
	return payload(data, "", false)
}

// stoneStatus returns the status of a saga that ended and was removed.
func stoneStatus(t *store.TombstoneError, existed bool) *api.Saga {
	s := &api.Saga{ID: t.Saga, Definition: t.Definition, Phase: t.Phase, Started: t.Started, Birth: t.Birth(), Ended: t.Ended, Removed: true, Existed: existed}
	if r := t.Removal; r != nil {
		s.Removal = &api.Removal{At: r.At, By: r.By, Reason: r.Reason, Damage: problem(r.Damage)}
	}
	return s
}

// reasonFor returns why a saga is parked, compensating or compensated.
func reasonFor(in *machine.Instance) string {
	if side := parkedSide(in); side != nil {
		return side.Reason()
	}
	if in.Cause != nil {
		return in.Cause.String()
	}
	return ""
}

// parkedSide returns the first parked side of a step, or nil.
func parkedSide(in *machine.Instance) *machine.Side {
	for i := range in.Steps {
		if s := in.Steps[i].Current(); s.Parked() {
			return s
		}
	}
	return nil
}
