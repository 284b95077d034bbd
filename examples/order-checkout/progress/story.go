package progress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// words describes the steps of the checkout in plain words.
var words = map[contract.StepName]struct{ doing, done, undoing, undone, calledOff string }{
	"open-order":    {"opening", "opened", "cancelling", "cancelled", "cancelled"},
	"reserve-stock": {"reserving", "reserved", "restocking", "restocked", "reservation called off"},
	"charge-card":   {"charging", "paid", "refunding", "refunded", "charge called off"},
	"book-shipment": {"shipping", "shipped", "", "", ""},
	"confirm-order": {"confirming", "confirmed", "", "", ""},
}

// Story describes what has happened to an order so far.
func Story(s *api.Saga) string {
	var forward, backward []string
	for _, step := range s.Steps {
		w := words[step.Name]
		if step.Status == contract.StepParked && step.Direction == contract.DirectionUndo {
			forward = append(forward, w.done)
			backward = append(backward, w.undoing+": waits for an operator")
			continue
		}
		switch step.Status {
		case contract.StepDoing:
			forward = append(forward, w.doing+again(step.Attempt)+" …")
		case contract.StepDone:
			forward = append(forward, w.done+again(step.Attempt))
		case contract.StepRejected:
			forward = append(forward, step.Reason)
		case contract.StepUnknown:
			forward = append(forward, w.doing+": no answer")
		case contract.StepUndoing:
			forward = append(forward, w.done)
			backward = append(backward, w.undoing+again(step.Attempt)+" …")
		case contract.StepParked:
			forward = append(forward, w.doing+": waits for an operator")
		case contract.StepUndone:
			if step.Result == nil { // it is unknown whether the step took effect
				forward = append(forward, w.doing+": no answer")
				backward = append(backward, w.calledOff)
				continue
			}
			forward = append(forward, w.done)
			backward = append(backward, w.undone)
		}
	}
	slices.Reverse(backward)
	story := strings.Join(forward, ", ")
	if len(backward) > 0 {
		story += " ⟲ " + strings.Join(backward, ", ")
	}
	return story
}

// again returns the number of the attempt as text, or "" for the first.
func again(attempt int) string {
	if attempt < 2 {
		return ""
	}
	return fmt.Sprintf(" (attempt %d)", attempt)
}
