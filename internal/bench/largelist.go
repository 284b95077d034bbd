package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// ListFigures measure the first page of a list.
type ListFigures struct {
	Filter  string  `json:"filter"`
	Sagas   int     `json:"sagas"` // number of sagas in the page
	More    bool    `json:"more"`  // whether the page has a cursor
	FirstMs float64 `json:"first_ms"`
	P50Ms   float64 `json:"p50_ms"`
	MaxMs   float64 `json:"max_ms"`
}

// listRepeats is how often each page is requested.
const listRepeats = 21

// list requests the first page for every filter of the API, with values that match all sagas, few
// sagas and none.
func (l *large) list(ctx context.Context) error {
	newest, err := l.full.workload.caller.List(ctx, api.ListRequest{Limit: 1})
	if err != nil {
		return err
	}
	if len(newest.Sagas) == 0 {
		return fmt.Errorf("the full store holds no sagas")
	}
	id := newest.Sagas[0].ID
	for _, f := range filters(time.Now(), id) {
		var took []time.Duration
		var reply *api.ListResponse
		for range listRepeats {
			began := time.Now()
			if reply, err = l.full.workload.caller.List(ctx, api.ListRequest{Filter: f.filter}); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			took = append(took, time.Since(began))
		}
		first := took[0]
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		l.figures.Lists = append(l.figures.Lists, ListFigures{
			Filter: f.name, Sagas: len(reply.Sagas), More: reply.NextCursor != "",
			FirstMs: ms(first), P50Ms: ms(took[len(took)/2]), MaxMs: ms(took[len(took)-1]),
		})
		l.say("list, %s: %.1f ms", f.name, ms(first))
	}
	return nil
}

type namedFilter struct {
	name   string
	filter api.Filter
}

func filters(now time.Time, newest contract.SagaID) []namedFilter {
	half := now.Add(-filledPeriod / 2)
	return []namedFilter{
		{"none", api.Filter{}},
		{"definition", api.Filter{Definition: contract.DefinitionRef{Name: "checkout"}}},
		{"definition of few", api.Filter{Definition: contract.DefinitionRef{Name: "checkout-later"}}},
		{"definition of none", api.Filter{Definition: contract.DefinitionRef{Name: "nothing"}}},
		{"phase completed", api.Filter{Phases: []contract.Phase{contract.PhaseCompleted}}},
		{"phase running", api.Filter{Phases: []contract.Phase{contract.PhaseRunning}}},
		{"phase parked (none)", api.Filter{Phases: []contract.Phase{contract.PhaseParked}}},
		{"open", api.Filter{Open: true}},
		{"one id by prefix", api.Filter{IDPrefix: string(newest)}},
		{"id prefix of all", api.Filter{IDPrefix: string(newest[:1])}},
		{"id prefix of none", api.Filter{IDPrefix: "nothing"}},
		{"started before", api.Filter{StartedBefore: new(half)}},
		{"started after", api.Filter{StartedAfter: new(half)}},
		{"started before all", api.Filter{StartedBefore: new(now.Add(-2 * filledPeriod))}},
		{"unmoved", api.Filter{UpdatedBefore: new(half)}},
		{"unmoved, of none", api.Filter{UpdatedBefore: new(now.Add(-2 * filledPeriod))}},
		{"reason of few", api.Filter{Reason: "stock"}},
		{"reason of none", api.Filter{Reason: "nothing has this reason"}},
		{"step", api.Filter{Step: "reserve-inventory"}},
		{"participant of none", api.Filter{Participant: "nobody"}},
		{"paused (none)", api.Filter{Paused: true}},
		{"definition and reason of none", api.Filter{Definition: contract.DefinitionRef{Name: "checkout"}, Reason: "nothing has this reason"}},
	}
}
