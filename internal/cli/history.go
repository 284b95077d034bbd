package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type historyCmd struct {
	callFlags
	ID       string `arg:"" help:"The saga's id."`
	Payloads bool   `help:"Also print inputs and results."`
}

// Help gives examples.
func (historyCmd) Help() string {
	return `Prints the recorded events of a saga, oldest first: what happened, when, by whom and why.

Examples:
  coordinator history order-42
  coordinator history order-42 --payloads
  coordinator history order-42 -o json | jq '.events[] | select(.type == "operation_taken")'`
}

// Run shows the recorded events of a saga.
func (c *historyCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		all, err := history(ctx, api, &apiv1.HistoryRequest{Id: c.ID})
		if err != nil {
			return err
		}
		return c.print(env.stdout, &apiv1.HistoryResponse{Events: all}, func(w *terminal.Stream) {
			if !c.Payloads {
				w.Table(historyRows(all))
				return
			}
			for _, e := range all {
				w.Table([][]string{historyRow(e)})
				if text := payloadText(e.GetPayload()); text != "" {
					w.Printf("    %s\n", text)
				}
			}
		})
	})
}

// history reads all pages of a history.
func history(ctx context.Context, api service, ask *apiv1.HistoryRequest) ([]*apiv1.Event, error) {
	var all []*apiv1.Event
	for {
		r, err := api.History(ctx, connect.NewRequest(ask))
		if err != nil {
			return nil, err
		}
		all = append(all, r.Msg.GetEvents()...)
		if ask.FromRevision = r.Msg.GetNextRevision(); ask.GetFromRevision() == 0 {
			return all, nil
		}
	}
}

func historyRows(events []*apiv1.Event) [][]string {
	rows := [][]string{{"REVISION", "AT", "EVENT", "STEP", "OUTCOME", "BY", "REASON"}}
	for _, e := range events {
		rows = append(rows, historyRow(e))
	}
	return rows
}

func historyRow(e *apiv1.Event) []string {
	step, by, what := e.GetStep(), e.GetBy(), e.GetType()
	if e.GetDirection() != "" {
		step = fmt.Sprintf("%s %s", e.GetDirection(), e.GetStep())
	}
	if e.GetAttempt() > 1 {
		step += fmt.Sprintf(" (attempt %d)", e.GetAttempt())
	}
	if by == "" {
		by = e.GetParticipant()
	}
	what = cmp.Or(e.GetOperation(), e.GetTimer(), what)
	return []string{fmt.Sprint(e.GetRevision()), e.GetAt().AsTime().Local().Format("2006-01-02 15:04:05.000"), what, step, e.GetOutcome(), by, cmp.Or(e.GetProblem(), e.GetReason())}
}

// payloadText returns a payload as one line, or its size if it cannot be shown. It returns "" for
// an empty payload.
func payloadText(p *apiv1.Payload) string {
	switch {
	case p.GetSizeBytes() == 0:
		return ""
	case p.GetLeftOut():
		return "(" + plural.Of(p.GetSizeBytes(), "byte omitted", "bytes omitted") + ": too large for the answer)"
	case p.GetJson() == "":
		return fmt.Sprintf("(%s of %s)", plural.Of(p.GetSizeBytes(), "byte", "bytes"), p.GetContentType())
	}
	var line bytes.Buffer
	if json.Compact(&line, []byte(p.GetJson())) != nil {
		return p.GetJson() // not JSON
	}
	return line.String()
}
