package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type showCmd struct {
	callFlags
	ID string `arg:"" help:"The saga's id."`
}

// Help gives examples.
func (showCmd) Help() string {
	return `Shows each step with its state, attempts and reason, the operations that are legal now, and the
steps that compensation would undo, in order.

Examples:
  coordinator show order-42
  coordinator show order-42 -o json | jq -r '.steps[] | select(.parked) | .name'`
}

// Run shows the state of a saga.
func (c *showCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: c.ID}))
		if err != nil {
			return err
		}
		s := r.Msg.GetSaga()
		return c.print(env.stdout, s, func(w *terminal.Stream) { printWhole(w, s, viewOf(ctx, api, s)) })
	})
}

type waitCmd struct {
	callFlags
	ID  string        `arg:"" help:"The saga's id."`
	For time.Duration `placeholder:"DURATION" default:"1h" help:"Maximum time to wait; 0 for no limit. Default: ${default}."`
}

// Help gives examples.
func (waitCmd) Help() string {
	return `Exit code 0: completed, 5: compensated, 6: parked or abandoned, 4: neither within --for.

Examples:
  coordinator wait order-42
  coordinator wait order-42 --for 30s || echo "not completed: $?"`
}

// Run waits until a saga is at rest.
func (c *waitCmd) Run(env *environment) error { return c.wait(env, c.ID, c.For) }

// firstPoll and poll are the durations of the first Wait request and of all later ones. firstPoll
// is short, so that the first progress message appears soon.
const (
	firstPoll = 500 * time.Millisecond
	poll      = 5 * time.Second
)

// wait waits for a saga and reports progress. It then prints the state and returns the exit code.
func (f *callFlags) wait(env *environment, id string, limit time.Duration) error {
	var last *apiv1.Saga
	began, most := time.Now(), ""
	if limit > 0 {
		most = fmt.Sprintf(", %s at most", limit)
	}
	quiet := sync.OnceFunc(env.waits("the answer of the coordinator", firstPoll+f.Timeout))
	defer quiet()
	err := f.hold(env, limit, func(ctx context.Context, api service) error {
		for hold := firstPoll; ; hold = poll {
			if end, ok := ctx.Deadline(); ok {
				left := time.Until(end)
				hold = min(hold, max(left-left/8, time.Millisecond))
			}
			r, err := f.waitOnce(ctx, api, id, hold)
			quiet()
			if err != nil && (last == nil || ctx.Err() == nil) {
				return err
			}
			if err == nil {
				last = r.Msg.GetSaga()
			}
			if atRest(last) {
				return nil
			}
			if ctx.Err() != nil {
				return &exitError{code: ExitNotReachable, err: fmt.Errorf("saga %s is still %s", id, last.GetPhase()), hint: "the saga continues; wait again, or see its state with: coordinator show " + id}
			}
			env.stderr.Printf("waiting for saga %s, since %s%s: %s, revision %d\n", id, began.Format(time.TimeOnly), most, last.GetPhase(), last.GetRevision())
		}
	})
	if err != nil {
		return err
	}
	return f.finish(env, last)
}

// finish prints a saga that is at rest, and returns the exit code for its phase.
func (f *callFlags) finish(env *environment, s *apiv1.Saga) error {
	if err := f.print(env.stdout, s, func(w *terminal.Stream) { printSaga(w, s) }); err != nil {
		return err
	}
	return outcome(s.GetPhase())
}

// waitOnce sends one Wait request. The timeout of the request detects a coordinator that hangs.
func (f *callFlags) waitOnce(ctx context.Context, api service, id string, hold time.Duration) (*connect.Response[apiv1.WaitResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, hold+f.Timeout)
	defer cancel()
	return api.Wait(ctx, connect.NewRequest(&apiv1.WaitRequest{Id: id, Timeout: durationpb.New(hold)}))
}

// atRest reports whether a saga has ended or is parked.
func atRest(s *apiv1.Saga) bool {
	return s.GetEnded() != nil || s.GetRemoved() || s.GetPhase() == "parked"
}

// printSaga prints the state of a saga.
func printSaga(w *terminal.Stream, s *apiv1.Saga) { printWhole(w, s, view{}) }

// printWhole prints the state of a saga, with the details in v.
func printWhole(w *terminal.Stream, s *apiv1.Saga, v view) {
	now := time.Now()
	rows := [][]string{
		{"saga", s.GetId()},
		{"definition", refOf(s.GetDefinition())},
		{"phase", s.GetPhase()},
		{"revision", fmt.Sprint(s.GetRevision())},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("started", stamp(s.GetStarted()))
	add("birth", s.GetBirth())
	add("updated", stamp(s.GetUpdated()))
	if s.GetEnded() != nil && s.GetStarted() != nil {
		add("ended", fmt.Sprintf("%s (after %s)", stamp(s.GetEnded()), s.GetEnded().AsTime().Sub(s.GetStarted().AsTime()).Round(time.Millisecond)))
	}
	if s.GetDeadline() != nil && s.GetEnded() == nil {
		add("deadline", fmt.Sprintf("%s (%s)", stamp(s.GetDeadline()), since(s.GetDeadline(), now)))
	}
	if p := s.GetPaused(); p != nil {
		add("paused", fmt.Sprintf("%s (%s) by %s: %s", stamp(p.GetSince()), since(p.GetSince(), now), p.GetBy(), p.GetReason()))
	}
	add("reason", s.GetReason())
	add("problem", s.GetProblem())
	add("trace", s.GetTraceId())
	if r := s.GetRemoval(); r != nil {
		add("removed", fmt.Sprintf("by %s: %s", r.GetBy(), r.GetReason()))
		add("damage", r.GetDamage())
	} else if s.GetRemoved() {
		add("note", "a tombstone: retention has removed everything else")
	}
	if s.GetPastPivot() && s.GetEnded() == nil {
		add("note", "past its point of no return: it can no longer be compensated")
	}
	add("legal now", words(legalWords(s.GetLegal())))
	w.Table(rows)
	if len(s.GetSteps()) > 0 {
		w.Printf("\n")
		w.Table(stepRows(s, v, now))
	}
	printUndo(w, s)
}

// printUndo prints the steps that compensation would undo now, in order.
func printUndo(w *terminal.Stream, s *apiv1.Saga) {
	if len(s.GetUndo()) == 0 {
		return
	}
	w.Printf("\ncompensation would undo now:\n")
	for i, wave := range s.GetUndo() {
		w.Printf("  %d. %s\n", i+1, strings.Join(wave.GetSteps(), " and, in parallel, "))
	}
}

// signs are the marks in front of steps, which show their status without colours.
var signs = map[string]string{
	"pending": "·", "doing": "▶", "done": "✓", "rejected": "✗", "unknown": "?", "undoing": "◀", "undone": "↶", "skipped": "→", "parked": "!",
}

// stepRows returns the steps as rows of a table.
func stepRows(s *apiv1.Saga, v view, now time.Time) [][]string {
	rows := [][]string{{"", "STEP", "KIND", "STATUS", "ATTEMPT", "TOOK", "ASKED", "NEXT", "REASON"}}
	for i, step := range s.GetSteps() {
		attempt, next, asked := "", since(step.GetDue(), now), ""
		if step.GetAttempt() > 0 {
			attempt = fmt.Sprintf("%d of %d", step.GetAttempt(), max(step.GetMaxAttempt(), step.GetAttempt()))
			asked = step.GetParticipant() + "." + step.GetAction()
		}
		switch {
		case step.GetParked() != nil:
			next = "parked " + since(step.GetParked(), now)
		case next == "":
		case step.GetWaiting():
			next = "next attempt " + next
		default:
			next = "waiting for " + step.GetParticipant() + ", times out " + next
		}
		rows = append(rows, []string{signs[step.GetStatus()], v.lead(i) + step.GetName(), step.GetKind(), step.GetStatus(), attempt, v.took[step.GetName()], asked, next, step.GetReason()})
	}
	return rows
}

// refOf formats a reference as name/version.
func refOf(r *apiv1.DefinitionRef) string {
	if r.GetVersion() == 0 {
		return r.GetName()
	}
	return fmt.Sprintf("%s/%d", r.GetName(), r.GetVersion())
}
