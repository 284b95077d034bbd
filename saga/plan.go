package saga

import (
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// makePlan is what the definition comes to for package machine.
func (d *Definition) makePlan(tree compensation.Node) machine.Plan {
	p := machine.Plan{
		Definition:  contract.DefinitionRef{Name: d.spec.Name, Version: d.spec.Version},
		Fingerprint: fingerprint(d.canonical),
		Deadline:    time.Duration(d.spec.Deadline),
		Tree:        tree,
		Steps:       make([]machine.Step, len(d.steps)),
	}
	mapped := false
	for i := range d.steps {
		from, to := &d.steps[i], &p.Steps[i]
		to.Name, to.Kind, to.Do = from.Name, from.Kind, planAction(&from.do)
		if from.undo != nil {
			undo := planAction(from.undo)
			to.Undo = &undo
		}
		if from.request != nil {
			to.Mapping, mapped = from.request, true
		}
	}
	// An input that does not fit: better the caller hears of it than a mapping, in the middle of
	// the saga. Without mappings it is passed on as it is, so it is not read.
	if mapped && !d.spec.Input.IsAny() {
		p.CheckInput = d.spec.Input.Accepts
	}
	return p
}

func planAction(a *Action) machine.Action {
	return machine.Action{
		Participant: a.Participant, Action: a.Action, Timeout: time.Duration(a.Timeout), Attempts: a.Retry.Attempts,
		InitialInterval: time.Duration(a.Retry.InitialInterval), MaxInterval: time.Duration(a.Retry.MaxInterval),
	}
}
