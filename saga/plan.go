package saga

import (
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// makePlan returns the form of the definition that package machine uses.
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
	// If mappings use the input, it is checked at the start, so that the caller gets the error and
	// no mapping fails in the middle of the saga. Without mappings the input is passed on unread.
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
