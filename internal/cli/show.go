package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

type showCmd struct {
	callFlags
	ID string `arg:"" help:"The saga's id."`
}

// Run shows where a saga stands.
func (c *showCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		status, err := cl.Get(ctx, contract.SagaID(c.ID))
		if err != nil {
			return err
		}
		return c.print(env.stdout, status, func(w io.Writer) { printStatus(w, status) })
	})
}

type waitCmd struct {
	callFlags
	ID  string        `arg:"" help:"The saga's id."`
	For time.Duration `placeholder:"DURATION" default:"0" help:"How long at most. 0: as long as it takes."`
}

// Run waits until a saga has ended or is parked.
func (c *waitCmd) Run(env *environment) error {
	return c.wait(env, contract.SagaID(c.ID), c.For)
}

type historyCmd struct {
	callFlags
	ID string `arg:"" help:"The saga's id."`
}

// Run shows the recorded events of a saga.
func (c *historyCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		events, err := cl.History(ctx, contract.SagaID(c.ID))
		if err != nil {
			return err
		}
		return c.print(env.stdout, events, func(w io.Writer) {
			rows := [][]string{{"REVISION", "AT", "EVENT", "STEP", "OUTCOME", "BY", "REASON"}}
			for i := range events {
				rows = append(rows, historyRow(&events[i]))
			}
			table(w, rows)
		})
	})
}

func historyRow(e *transport.HistoryEvent) []string {
	step, by := string(e.Step), e.By
	if e.Direction != "" {
		step = fmt.Sprintf("%s %s", e.Direction, e.Step)
	}
	if e.Attempt > 1 {
		step += fmt.Sprintf(" (attempt %d)", e.Attempt)
	}
	if by == "" {
		by = e.Participant
	}
	what := e.Type
	if e.Verb != "" {
		what = e.Verb
	}
	return []string{fmt.Sprint(e.Revision), e.At.Local().Format("2006-01-02 15:04:05.000"), what, step, string(e.Outcome), oneLine(by, 40), oneLine(e.Reason, 80)}
}

type listCmd struct {
	callFlags
	Definition string   `short:"d" help:"Only of this definition; name/version for a certain version."`
	Phase      []string `short:"p" enum:"running,compensating,completed,compensated,parked" help:"Only in these phases: ${enum}."`
	IDPrefix   string   `name:"id-prefix" help:"Only ids that begin so."`
	Open       bool     `help:"Only sagas that have not ended."`
	Limit      int      `short:"n" default:"100" help:"How many at most; 0: all."`
}

// Run lists sagas.
func (c *listCmd) Run(env *environment) error {
	query := transport.ListQuery{Filter: transport.Filter{IDPrefix: c.IDPrefix, Open: c.Open}, Limit: min(max(c.Limit, 0), 1000)}
	if c.Definition != "" {
		ref, err := parseRef(c.Definition)
		if err != nil {
			return &exitError{code: ExitUsage, err: err}
		}
		query.Definition, query.Version = ref.Name, ref.Version
	}
	for _, p := range c.Phase {
		query.Phases = append(query.Phases, contract.Phase(p))
	}
	sagas, more := []transport.Status{}, false
	err := c.call(env, c.Timeout, func(ctx context.Context, cl *client.Client) error {
		for s, err := range cl.All(ctx, query) {
			if err != nil {
				return err
			}
			if c.Limit > 0 && len(sagas) == c.Limit {
				more = true
				break
			}
			sagas = append(sagas, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if more {
		defer func() { _, _ = fmt.Fprintf(env.stderr, "there are more than %d; see them with -n 0\n", c.Limit) }()
	}
	return c.print(env.stdout, sagas, func(w io.Writer) {
		rows := [][]string{{"SAGA", "DEFINITION", "PHASE", "STARTED", "UPDATED", "REASON"}}
		for _, s := range sagas {
			rows = append(rows, []string{string(s.ID), s.Definition.String(), string(s.Phase), stamp(s.Started), stamp(s.Updated), oneLine(s.Reason, 60)})
		}
		table(w, rows)
	})
}
