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
	Replay  deadReplayCmd  `cmd:"" help:"Publish dead letters again, unchanged, and remove them."`
	Discard deadDiscardCmd `cmd:"" help:"Remove dead letters."`
	Purge   deadPurgeCmd   `cmd:"" help:"Remove all dead letters that match."`
}

// Help gives examples.
func (deadCmd) Help() string {
	return `Messages that could not be processed are kept here with the reason. Fix their sender, or the
definition they do not fit, and replay them; or discard them.

Examples:
  coordinator dead-letters list
  coordinator dead-letters show 17
  coordinator dead-letters replay 17 18
  coordinator dead-letters purge --where-participant payment --dry-run`
}

type deadListCmd struct {
	callFlags
	After uint64 `help:"Only those after this sequence."`
	Limit int    `short:"n" default:"100" help:"Maximum number to list, up to 1000."`
}

// Run lists dead letters.
func (c *deadListCmd) Run(env *environment) error {
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{Cursor: c.After, Limit: int64(min(c.Limit, 1000))}))
		if err != nil {
			return err
		}
		return c.print(env.stdout, r.Msg, func(w *terminal.Stream) {
			rows := [][]string{{"SEQUENCE", "SINCE", "SUBJECT", "REASON", "DATA"}}
			for _, l := range r.Msg.GetDeadLetters() {
				rows = append(rows, []string{fmt.Sprint(l.GetSequence()), stamp(l.GetSince()), l.GetSubject(), l.GetReason(), listed(l)})
			}
			w.Table(rows)
			if next := r.Msg.GetNextCursor(); next != 0 {
				env.stderr.Printf("there are more; see them with --after %d\n", next)
			}
		})
	})
}

// maxListed is the maximum size, in bytes, of a dead letter's data in a list.
const maxListed = 120

// listed returns a dead letter's data. If the data is too long for a list, it returns the command
// that shows the data.
func listed(l *apiv1.DeadLetter) string {
	text := payloadText(l.GetData())
	if len(text) <= maxListed {
		return text
	}
	return fmt.Sprintf("(%s: dead-letters show %d)", plural.Of(l.GetData().GetSizeBytes(), "byte", "bytes"), l.GetSequence())
}

type deadShowCmd struct {
	callFlags
	Sequence uint64 `arg:"" help:"Sequence of the dead letter, as list shows it."`
}

// Run shows a dead letter.
func (c *deadShowCmd) Run(env *environment) error {
	if c.Sequence == 0 {
		return &exitError{code: ExitUsage, err: errors.New("sequence 0: sequences start at 1")}
	}
	return c.call(env, c.Timeout, func(ctx context.Context, api service) error {
		r, err := api.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{Cursor: c.Sequence - 1, Limit: 1}))
		if err != nil {
			return err
		}
		letters := r.Msg.GetDeadLetters()
		if len(letters) == 0 || letters[0].GetSequence() != c.Sequence {
			return &exitError{code: ExitFailed, err: fmt.Errorf("no dead letter %d", c.Sequence), hint: "list them with: coordinator dead-letters list"}
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

// byFlag names the operator who replays or removes dead letters.
type byFlag struct {
	By string `env:"AMENDS_BY" help:"Your name, for the coordinator's log."`
}

type deadReplayCmd struct {
	callFlags
	byFlag
	Sequences []uint64 `arg:"" name:"sequence" help:"Sequences of the dead letters, as list shows them."`
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
	return unsure(err, "some or all may have been replayed; those are no longer listed by: coordinator dead-letters list")
}

type deadDiscardCmd struct {
	callFlags
	byFlag
	Sequences []uint64 `arg:"" name:"sequence" help:"Sequences of the dead letters, as list shows them."`
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
	return unsure(err, "some or all may have been removed; see what is left with: coordinator dead-letters list")
}

// deadFilterFlags selects the dead letters that match all given flags.
type deadFilterFlags struct {
	Stream      given `placeholder:"STREAM" help:"Stream of the message: commands, events or lifecycle."`
	Participant given `placeholder:"NAME" help:"Participant of the message; unknown for messages that name none."`
	Reason      given `placeholder:"TEXT" help:"Text that the reason contains."`
	OlderThan   age   `help:"Older than this, such as 24h."`
}

type deadPurgeCmd struct {
	callFlags
	byFlag
	Where  deadFilterFlags `embed:"" prefix:"where-"`
	All    bool            `help:"Remove all dead letters."`
	DryRun bool            `help:"Only count them."`
}

// Help gives examples.
func (deadPurgeCmd) Help() string {
	return `Removes for good all dead letters that match every --where flag. Check first with --dry-run and list.

Examples:
  coordinator dead-letters purge --where-participant payment --where-reason 'no such saga'
  coordinator dead-letters purge --where-older-than 168h --dry-run
  coordinator dead-letters purge --all`
}

// Run removes the matching dead letters, page by page.
func (c *deadPurgeCmd) Run(env *environment) error {
	switch filtered := c.Where != (deadFilterFlags{}); {
	case !filtered && !c.All:
		return &exitError{code: ExitUsage, err: errors.New("no dead letters given: select some with --where flags, or all with --all"), hint: "see: coordinator dead-letters purge --help"}
	case filtered && c.All:
		return &exitError{code: ExitUsage, err: errors.New("--all and --where flags exclude each other: give one of them")}
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
			request.Cursor = r.Msg.GetNextCursor()
			done = request.Cursor == 0
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

// each prints the dead letters that were processed. It returns an error if some failed.
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
