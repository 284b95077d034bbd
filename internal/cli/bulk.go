package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/term"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// operateAll takes a decision about every saga that matches the filter. It counts the matches and
// asks for confirmation. The coordinator refuses the decision if more sagas match than were
// counted.
func (f *decisionFlags) operateAll(env *environment, d *apiv1.Decision) error {
	switch {
	case f.ID != "":
		return &exitError{code: ExitUsage, err: errors.New("name one saga or give --where flags, not both")}
	case f.Where.empty():
		return &exitError{code: ExitUsage, err: fmt.Errorf("no saga given: name one, or select several with --where flags, such as --where-phase parked"), hint: "see: coordinator " + d.GetOperation() + " --help"}
	}
	filter, err := f.Where.filter(time.Now())
	if err != nil {
		return err
	}
	would, err := f.all(env, &apiv1.OperateAllRequest{Filter: filter, Decision: d, DryRun: true})
	if err != nil {
		return err
	}
	if f.DryRun || would.GetMatched() == 0 {
		return f.tell(env, would, "would "+d.GetOperation())
	}
	if err := f.confirm(env, d, would); err != nil {
		return err
	}
	did, err := f.all(env, &apiv1.OperateAllRequest{Filter: filter, Decision: d, MaxMatches: would.GetMatched()})
	if err != nil {
		return err
	}
	if err := f.tell(env, did, d.GetOperation()); err != nil {
		return err
	}
	if did.GetRefused() > 0 {
		return &exitError{code: ExitFailed, err: fmt.Errorf("%s was refused for %d of %s", d.GetOperation(), did.GetRefused(), plural.Of(did.GetMatched(), "saga", "sagas"))}
	}
	return nil
}

// all sends the request, reports progress, and returns the totals.
func (f *decisionFlags) all(env *environment, request *apiv1.OperateAllRequest) (*apiv1.OperateAllResponse, error) {
	sum := &apiv1.OperateAllResponse{}
	err := f.call(env, 0, func(ctx context.Context, api service) error {
		ctx, heard, stop := env.hears(ctx, "the answer of the coordinator", f.Timeout)
		defer stop()
		stream, err := api.OperateAll(ctx, connect.NewRequest(request))
		if err != nil {
			return tooQuiet(ctx, err)
		}
		defer func() { _ = stream.Close() }()
		seen := newPace(env.stderr, request.GetDecision().GetOperation(), "saga", "sagas", request.GetMaxMatches())
		for stream.Receive() {
			heard()
			m := stream.Msg()
			seen.add(m.GetMatched() - seen.done)
			m.Refusals = append(sum.GetRefusals(), m.GetRefusals()...)
			sum = m
		}
		return tooQuiet(ctx, stream.Err())
	})
	if !request.GetDryRun() {
		err = unsure(err, "some decisions may have been taken; run the command again (no decision is taken twice); the sagas' histories show which decisions were taken")
	}
	if err == nil && !sum.GetFinished() {
		err = errors.New("the connection ended before all sagas were processed; run the command again (no decision is taken twice); the sagas' histories show which decisions were taken")
	}
	return sum, err
}

// tell prints what was done, or what a dry run would have done.
func (f *decisionFlags) tell(env *environment, sum *apiv1.OperateAllResponse, what string) error {
	return f.print(env.stdout, sum, func(w *terminal.Stream) {
		w.Printf("%s: %d of %s, refused for %d\n", what, sum.GetDone(), plural.Of(sum.GetMatched(), "saga that matches", "sagas that match"), sum.GetRefused())
		for _, r := range sum.GetRefusals() {
			w.Printf("  %s: %s%s\n", r.GetId(), r.GetReason(), legalNow(r.GetLegal()))
		}
		if rest := sum.GetRefused() - int64(len(sum.GetRefusals())); rest > 0 {
			w.Printf("  and %d more\n", rest)
		}
	})
}

// confirm asks for confirmation on a terminal. Without a terminal, --yes is required.
func (f *decisionFlags) confirm(env *environment, d *apiv1.Decision, would *apiv1.OperateAllResponse) error {
	if f.Yes {
		return nil
	}
	question := fmt.Sprintf("%s %s (%s, refused for %d)?", d.GetOperation(), plural.Of(would.GetDone(), "saga", "sagas"), plural.Of(would.GetMatched(), "matches", "match"), would.GetRefused())
	in, ok := env.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return &exitError{code: ExitUsage, err: errors.New("confirmation is required: " + question), hint: "nothing was done; confirm with --yes, or see details with --dry-run"}
	}
	env.stderr.Printf("%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return &exitError{code: ExitFailed, err: errors.New("nothing was done")}
	}
	return nil
}
