package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
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
	newest, err := l.full.workload.caller.List(ctx, transport.ListQuery{Limit: 1})
	if err != nil {
		return err
	}
	if len(newest.Sagas) == 0 {
		return fmt.Errorf("the full store holds nothing")
	}
	id := newest.Sagas[0].ID
	for _, f := range filters(time.Now(), id) {
		var took []time.Duration
		var reply *transport.ListReply
		for range listRepeats {
			began := time.Now()
			if reply, err = l.full.workload.caller.List(ctx, transport.ListQuery{Filter: f.filter}); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			took = append(took, time.Since(began))
		}
		first := took[0]
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		l.figures.Lists = append(l.figures.Lists, ListFigures{
			Filter: f.name, Sagas: len(reply.Sagas), More: reply.Next != "",
			FirstMs: ms(first), P50Ms: ms(took[len(took)/2]), MaxMs: ms(took[len(took)-1]),
		})
		l.say("list, %s: %.1f ms", f.name, ms(first))
	}
	return nil
}

type namedFilter struct {
	name   string
	filter transport.Filter
}

func filters(now time.Time, newest contract.SagaID) []namedFilter {
	half := now.Add(-filledPeriod / 2)
	return []namedFilter{
		{"none", transport.Filter{}},
		{"definition", transport.Filter{Definition: "checkout"}},
		{"definition of few", transport.Filter{Definition: "checkout-later"}},
		{"definition of none", transport.Filter{Definition: "nothing"}},
		{"phase completed", transport.Filter{Phases: []contract.Phase{contract.Completed}}},
		{"phase running", transport.Filter{Phases: []contract.Phase{contract.Running}}},
		{"phase parked (none)", transport.Filter{Phases: []contract.Phase{contract.Parked}}},
		{"open", transport.Filter{Open: true}},
		{"one id by prefix", transport.Filter{IDPrefix: string(newest)}},
		{"id prefix of all", transport.Filter{IDPrefix: string(newest[:1])}},
		{"id prefix of none", transport.Filter{IDPrefix: "nothing"}},
		{"started before", transport.Filter{StartedBefore: new(half)}},
		{"started after", transport.Filter{StartedAfter: new(half)}},
		{"started before all", transport.Filter{StartedBefore: new(now.Add(-2 * filledPeriod))}},
		{"unmoved", transport.Filter{UpdatedBefore: new(half)}},
		{"unmoved, of none", transport.Filter{UpdatedBefore: new(now.Add(-2 * filledPeriod))}},
		{"reason of few", transport.Filter{Reason: "stock"}},
		{"reason of none", transport.Filter{Reason: "nothing has this reason"}},
		{"step", transport.Filter{Step: "reserve-inventory"}},
		{"participant of none", transport.Filter{Participant: "nobody"}},
		{"paused (none)", transport.Filter{Paused: true}},
		{"definition and reason of none", transport.Filter{Definition: "checkout", Reason: "nothing has this reason"}},
	}
}
