package cli

import (
	"context"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/saga"
)

// view holds what show prints about a saga besides its state. The zero value is empty.
type view struct {
	branches []string          // tree lines in front of each step
	took     map[string]string // duration of each step's do and undo, by step
}

// lead returns the tree lines in front of a step.
func (v view) lead(i int) string {
	if i < len(v.branches) {
		return v.branches[i]
	}
	return ""
}

// viewOf reads the saga's definition and history. If one of them cannot be read, the state is
// printed without it.
func viewOf(ctx context.Context, api service, s *apiv1.Saga) (v view) {
	if s.GetRemoved() {
		return v
	}
	if r, err := api.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: s.GetDefinition()})); err == nil {
		if def, err := saga.ParseJSON([]byte(r.Msg.GetDefinition().GetCanonical())); err == nil && def.Len() == len(s.GetSteps()) {
			v.branches = branchesOf(def.Spec().Steps)
		}
	}
	if events, err := history(ctx, api, &apiv1.HistoryRequest{Id: s.GetId(), WithSaga: true}); err == nil {
		v.took = tookOf(events)
	}
	return v
}

// stretch is the interval from the start to the end of a do or an undo.
type stretch struct{ from, to time.Time }

func (s stretch) String() string {
	if s.from.IsZero() || s.to.IsZero() {
		return ""
	}
	return short(s.to.Sub(s.from))
}

// tookOf returns how long each step took. events is a history with the saga's state after each
// event.
func tookOf(events []*apiv1.Event) map[string]string {
	do, undo := map[string]*stretch{}, map[string]*stretch{}
	of := func(all map[string]*stretch, name string) *stretch {
		if all[name] == nil {
			all[name] = &stretch{}
		}
		return all[name]
	}
	for _, e := range events {
		at := e.GetAt().AsTime()
		for _, step := range e.GetSaga().GetSteps() {
			d, u := of(do, step.GetName()), of(undo, step.GetName())
			switch step.GetStatus() {
			case "doing":
				d.begin(at)
			case "done", "rejected", "unknown":
				d.end(at)
			case "undoing":
				d.end(at)
				u.begin(at)
			case "undone":
				u.end(at)
			}
		}
	}
	took := map[string]string{}
	for name, d := range do {
		text := d.String()
		if u := undo[name].String(); u != "" {
			text += " + " + u
		}
		took[name] = text
	}
	return took
}

func (s *stretch) begin(at time.Time) {
	if s.from.IsZero() {
		s.from = at
	}
}

func (s *stretch) end(at time.Time) {
	if !s.from.IsZero() && s.to.IsZero() {
		s.to = at
	}
}
