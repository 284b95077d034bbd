package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"List dead letters, oldest first."`
	Show    deadShowCmd    `cmd:"" help:"Show a dead letter with its headers and data."`
	Replay  deadReplayCmd  `cmd:"" help:"Publish dead letters again as they came, and remove them."`
	Discard deadDiscardCmd `cmd:"" help:"Remove dead letters."`
	Purge   deadPurgeCmd   `cmd:"" help:"Remove all dead letters that match."`
}

// Help gives examples.
func (deadCmd) Help() string {
	return `Messages that could not be understood wait here with the reason. Fix what sent them, or the
definition that does not know them, then replay them; or discard what is of no use.

Examples:
  coordinator dead-letters list
  coordinator dead-letters show 17
  coordinator dead-letters replay 17 18
  coordinator dead-letters purge --where-participant payment --dry-run`
}

type deadListCmd struct {
	callFlags
	After uint64 `help:"Only behind this sequence."`
	Limit int    `short:"n" default:"100" help:"How many at most, up to 1000."`
}

// Run lists dead letters.
func (c *deadListCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{After: c.After, Limit: int32(min(c.Limit, 1000))}))
		if err != nil {
			return err
		}
		return c.print(env.stdout, r.Msg, func(w *terminal.Stream) {
			rows := [][]string{{"SEQUENCE", "SINCE", "SUBJECT", "REASON", "DATA"}}
			for _, l := range r.Msg.GetDeadLetters() {
				rows = append(rows, []string{fmt.Sprint(l.GetSequence()), stamp(l.GetSince()), l.GetSubject(), l.GetReason(), listed(l)})
			}
			w.Table(rows)
			if next := r.Msg.GetNext(); next != 0 {
				env.stderr.Printf("there are more; see them with --after %d\n", next)
			}
		})
	})
}

// maxListed is how much data a list shows of a dead letter, in bytes.
const maxListed = 120

// listed is the data of a dead letter, or where it is shown if it is too much for a list.
func listed(l *apiv1.DeadLetter) string {
	text := payloadText(l.GetData())
	if len(text) <= maxListed {
		return text
	}
	return fmt.Sprintf("(%s: dead-letters show %d)", plural.Of(l.GetData().GetSizeBytes(), "byte", "bytes"), l.GetSequence())
}

type deadShowCmd struct {
	callFlags
	Sequence uint64 `arg:"" help:"Which one, as list shows it."`
}

// Run shows a dead letter.
func (c *deadShowCmd) Run(env *environment) error {
	if c.Sequence == 0 {
		return &exitError{code: ExitUsage, err: errors.New("sequences begin at 1")}
	}
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{After: c.Sequence - 1, Limit: 1}))
		if err != nil {
			return err
		}
		letters := r.Msg.GetDeadLetters()
		if len(letters) == 0 || letters[0].GetSequence() != c.Sequence {
			return &exitError{code: ExitFailed, err: fmt.Errorf("there is no such dead letter: %d", c.Sequence), hint: "see what there is with: coordinator dead-letters list"}
		}
		l := letters[0]
		return c.print(env.stdout, l, func(w *terminal.Stream) {
			rows := [][]string{{"sequence", fmt.Sprint(l.GetSequence())}, {"since", stamp(l.GetSince())}, {"stream", l.GetStream()}, {"subject", l.GetSubject()}, {"reason", l.GetReason()}}
			for _, h := range l.GetHeaders() {
				rows = append(rows, []string{h.GetName(), strings.Join(h.GetValues(), ", ")})
			}
			rows = append(rows, []string{"data", payloadText(l.GetData())})
			w.Table(rows)
		})
	})
}

// byFlag names who handles dead letters.
type byFlag struct {
	By string `env:"AMENDS_BY" help:"Who asks, for the coordinator's log."`
}

type deadReplayCmd struct {
	callFlags
	byFlag
	Sequences []uint64 `arg:"" name:"sequence" help:"Which ones, as list shows them."`
}

// Run publishes dead letters again.
func (c *deadReplayCmd) Run(env *environment) error {
	err := c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ReplayDeadLetters(ctx, connect.NewRequest(&apiv1.ReplayDeadLettersRequest{Sequences: c.Sequences, By: c.By}))
		if err != nil {
			return err
		}
		return c.each(env, r.Msg, "replayed", r.Msg.GetReplayed(), r.Msg.GetFailed())
	})
	return unsure(err, "they may have been replayed, some or all: those that were are no longer in coordinator dead-letters list")
}

type deadDiscardCmd struct {
	callFlags
	byFlag
	Sequences []uint64 `arg:"" name:"sequence" help:"Which ones, as list shows them."`
}

// Run removes dead letters.
func (c *deadDiscardCmd) Run(env *environment) error {
	err := c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.DiscardDeadLetters(ctx, connect.NewRequest(&apiv1.DiscardDeadLettersRequest{Sequences: c.Sequences, By: c.By}))
		if err != nil {
			return err
		}
		return c.each(env, r.Msg, "discarded", r.Msg.GetDiscarded(), r.Msg.GetFailed())
	})
	return unsure(err, "they may have been removed, some or all: see what is left with: coordinator dead-letters list")
}

// deadFilterFlags say which dead letters: those that match all that is given.
type deadFilterFlags struct {
	Stream      given `placeholder:"STREAM" help:"The stream they came from: commands, events or lifecycle."`
	Participant given `placeholder:"NAME" help:"The participant whose messages they were; unknown: nobody's."`
	Reason      given `placeholder:"TEXT" help:"A part of their reason."`
	OlderThan   age   `help:"Kept for longer than that, such as 24h."`
}

type deadPurgeCmd struct {
	callFlags
	byFlag
	Where  deadFilterFlags `embed:"" prefix:"where-"`
	All    bool            `help:"All dead letters, whatever they are."`
	DryRun bool            `help:"Only count them."`
}

// Help gives examples.
func (deadPurgeCmd) Help() string {
	return `Removed is what matches all of the --where flags, for good: look at it first with --dry-run and list.

Examples:
  coordinator dead-letters purge --where-participant payment --where-reason 'no such saga'
  coordinator dead-letters purge --where-older-than 168h --dry-run
  coordinator dead-letters purge --all`
}

// Run removes the dead letters that match, page by page.
func (c *deadPurgeCmd) Run(env *environment) error {
	switch filtered := c.Where != (deadFilterFlags{}); {
	case !filtered && !c.All:
		return &exitError{code: ExitUsage, err: errors.New("which dead letters? say so with the --where flags, or remove all of them with --all"), hint: "see: coordinator dead-letters purge --help"}
	case filtered && c.All:
		return &exitError{code: ExitUsage, err: errors.New("--all is for all dead letters, and --where for some: give one")}
	}
	request := &apiv1.PurgeDeadLettersRequest{
		Stream: string(c.Where.Stream), Participant: string(c.Where.Participant), Reason: string(c.Where.Reason), All: c.All, DryRun: c.DryRun, By: c.By,
	}
	if c.Where.OlderThan > 0 {
		request.OlderThan = durationpb.New(time.Duration(c.Where.OlderThan))
	}
	sum := &apiv1.PurgeDeadLettersResponse{}
	for done := false; !done; {
		err := c.call(env, c.Timeout, func(ctx context.Context, api service) error {
			r, err := api.PurgeDeadLetters(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			sum.Matched += r.Msg.GetMatched()
			request.After = r.Msg.GetNext()
			done = request.After == 0
			return nil
		})
		if err != nil && !c.DryRun {
			err = unsure(err, "some may have been removed; see how many are left with the same command and --dry-run, and purge again")
		}
		if err != nil {
			return err
		}
	}
	did := "purged"
	if c.DryRun {
		did = "would purge"
	}
	return c.print(env.stdout, sum, func(w *terminal.Stream) {
		w.Printf("%s %s\n", did, plural.Of(sum.GetMatched(), "dead letter", "dead letters"))
	})
}

// each says what was done to which dead letter, and reports all that failed.
func (f *callFlags) each(env *environment, reply proto.Message, did string, done []uint64, failed []*apiv1.FailedDeadLetter) error {
	err := f.print(env.stdout, reply, func(w *terminal.Stream) {
		if len(done) > 0 {
			w.Printf("%s %s\n", did, strings.Trim(fmt.Sprint(done), "[]"))
		}
	})
	errs := []error{err}
	for _, l := range failed {
		errs = append(errs, fmt.Errorf("dead letter %d: %s", l.GetSequence(), l.GetProblem()))
	}
	return errors.Join(errs...)
}
