package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// filterFlags selects sagas.
type filterFlags struct {
	Definition  given  `short:"d" placeholder:"NAME" help:"Only sagas of this definition, as name or name/version."`
	Phase       phases `short:"p" enum:"running,compensating,completed,compensated,parked" help:"Only sagas in these phases: ${enum}."`
	IDPrefix    given  `name:"id-prefix" placeholder:"PREFIX" help:"Only sagas whose id has this prefix."`
	Open        bool   `help:"Only sagas that have not ended."`
	Paused      bool   `help:"Only sagas that are paused."`
	Overdue     bool   `help:"Only sagas whose deadline has passed after the point of no return."`
	Step        given  `placeholder:"NAME" help:"Only sagas in which this step is in progress, waits for its next attempt or is parked."`
	Participant given  `placeholder:"NAME" help:"Only sagas with a step in progress at this participant."`
	Why         given  `name:"reason-contains" placeholder:"TEXT" help:"Only sagas whose reason contains this text, ignoring case."`
	Still       age    `name:"unmoved-for" placeholder:"DURATION" help:"Only sagas without progress for this long: stuck ones."`
	OlderThan   age    `placeholder:"DURATION" help:"Only sagas started longer ago than this, such as 24h."`
	YoungerThan age    `placeholder:"DURATION" help:"Only sagas started within this time, such as 10m."`
}

// given is the value of a filter flag. An empty value, for example from an unset variable, is
// refused: it would match everything.
type given string

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *given) UnmarshalText(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("is empty; give a value or omit the flag")
	}
	*g = given(text)
	return nil
}

// phases is the value of a phase flag. Like given, it refuses an empty value.
type phases []string

// Validate is called by the parser if the flag is present.
func (p phases) Validate() error {
	if len(p) == 0 {
		return errors.New("is empty; give a value or omit the flag")
	}
	return nil
}

// age is the value of a flag for a time in the past, as a duration before now; 0 if the flag is
// absent.
type age time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *age) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("is %q; give a positive duration such as 10m or 24h, or omit the flag", text)
	}
	*a = age(d)
	return nil
}

// empty reports whether no filter flag was given.
func (f *filterFlags) empty() bool {
	return f.Definition+f.IDPrefix+f.Step+f.Participant+f.Why == "" && len(f.Phase) == 0 && !f.Open && !f.Paused && !f.Overdue && f.Still == 0 && f.OlderThan == 0 && f.YoungerThan == 0
}

// filter converts the flags to a filter of the API.
func (f *filterFlags) filter(now time.Time) (*apiv1.Filter, error) {
	filter := &apiv1.Filter{
		Phases: f.Phase, IdPrefix: string(f.IDPrefix), Open: f.Open, Paused: f.Paused, Overdue: f.Overdue, Step: string(f.Step), Participant: string(f.Participant), Reason: string(f.Why),
	}
	if f.Definition != "" {
		ref, err := parseRef(string(f.Definition))
		if err != nil {
			return nil, &exitError{code: ExitUsage, err: err}
		}
		filter.Definition = ref
	}
	if f.Still > 0 {
		filter.UpdatedBefore = timestamppb.New(now.Add(-time.Duration(f.Still)))
	}
	if f.OlderThan > 0 {
		filter.StartedBefore = timestamppb.New(now.Add(-time.Duration(f.OlderThan)))
	}
	if f.YoungerThan > 0 {
		filter.StartedAfter = timestamppb.New(now.Add(-time.Duration(f.YoungerThan)))
	}
	return filter, nil
}

type listCmd struct {
	callFlags
	filterFlags
	Limit int  `short:"n" default:"100" help:"Maximum number to list; 0 for all."`
	Count bool `help:"Print only the numbers, by definition and phase."`
}

// Help gives examples.
func (listCmd) Help() string {
	return `Examples:
  coordinator list --phase parked               # sagas that wait for an operator
  coordinator list --open --unmoved-for 1h      # stuck sagas
  coordinator list --step charge-payment --participant payment
  coordinator list -d checkout/2 -n 0 -o json | jq -r '.sagas[].id'`
}

// page is the number of sagas per request.
const page = 500

// Run lists sagas.
func (c *listCmd) Run(env *environment) error {
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	if c.Count {
		return c.count(env, filter)
	}
	all, more := &apiv1.ListResponse{}, false
	err = c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		cursor := ""
		for {
			want := page
			if c.Limit > 0 {
				want = min(page, c.Limit-len(all.GetSagas())+1)
			}
			r, err := api.List(ctx, connect.NewRequest(&apiv1.ListRequest{Filter: filter, Limit: int64(want), Cursor: cursor}))
			if err != nil {
				return err
			}
			all.Sagas = append(all.Sagas, r.Msg.GetSagas()...)
			if more = c.Limit > 0 && len(all.GetSagas()) > c.Limit; more {
				all.Sagas = all.GetSagas()[:c.Limit]
			}
			if cursor = r.Msg.GetNextCursor(); cursor == "" || more {
				return nil
			}
		}
	})
	if err != nil {
		return err
	}
	if more {
		defer func() { env.stderr.Printf("more than %d sagas match; list all with -n 0\n", c.Limit) }()
	}
	return c.print(env.stdout, all, func(w *terminal.Stream) {
		rows := [][]string{{"SAGA", "DEFINITION", "PHASE", "STARTED", "UPDATED", "REASON"}}
		for _, s := range all.GetSagas() {
			rows = append(rows, []string{s.GetId(), refOf(s.GetDefinition()), s.GetPhase(), stamp(s.GetStarted()), stamp(s.GetUpdated()), cmp.Or(s.GetProblem(), s.GetReason())})
		}
		w.Table(rows)
	})
}

// count prints the number of matching sagas by definition and phase.
func (c *listCmd) count(env *environment, filter *apiv1.Filter) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Count(ctx, connect.NewRequest(&apiv1.CountRequest{Filter: filter}))
		if err != nil {
			return err
		}
		return c.print(env.stdout, r.Msg, func(w *terminal.Stream) {
			rows := [][]string{{"DEFINITION", "PHASE", "SAGAS"}}
			for _, n := range r.Msg.GetCounts() {
				rows = append(rows, []string{refOf(n.GetDefinition()), n.GetPhase(), fmt.Sprint(n.GetSagas())})
			}
			rows = append(rows, []string{"total", "", fmt.Sprint(r.Msg.GetTotal())})
			w.Table(rows)
			if r.Msg.GetAtLeast() {
				env.stderr.Printf("these numbers are lower bounds: not all sagas were examined; narrow the filter with --definition or --phase\n")
			}
		})
	})
}
