package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/amends-dev/amends/transport"
)

type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"List dead letters, oldest first."`
	Replay  deadReplayCmd  `cmd:"" help:"Publish dead letters again as they came, and remove them."`
	Discard deadDiscardCmd `cmd:"" help:"Remove dead letters."`
}

// office connects and gives the dead-letter office.
func (f *callFlags) office(env *environment, use func(ctx context.Context, office transport.DeadLetterOffice) error) error {
	ctx, cancel := context.WithTimeout(env.ctx, f.Timeout)
	defer cancel()
	bus, err := f.connect(ctx, "amends-cli")
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = bus.Close() }()
	return use(ctx, bus)
}

type deadListCmd struct {
	callFlags
	After uint64 `help:"Only behind this sequence."`
	Limit int    `short:"n" default:"100" help:"How many at most."`
}

// deadLetter is a dead letter as it is printed.
type deadLetter struct {
	Sequence uint64 `json:"sequence"`
	Stream   string `json:"stream"`
	Subject  string `json:"subject"`
	Reason   string `json:"reason"`
	Since    string `json:"since"`
	Data     string `json:"data"`
}

// Run lists dead letters.
func (c *deadListCmd) Run(env *environment) error {
	return c.office(env, func(ctx context.Context, office transport.DeadLetterOffice) error {
		letters, err := office.ListDeadLetters(ctx, c.After, c.Limit)
		if err != nil {
			return err
		}
		out := make([]deadLetter, len(letters))
		rows := [][]string{{"SEQUENCE", "SINCE", "SUBJECT", "REASON", "DATA"}}
		for i, l := range letters {
			out[i] = deadLetter{l.Sequence, string(l.Stream), l.Subject, l.Reason, l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), string(l.Data)}
			rows = append(rows, []string{fmt.Sprint(l.Sequence), stamp(l.Time), oneLine(l.Subject, 80), oneLine(l.Reason, 80), oneLine(string(l.Data), 40)})
		}
		return c.print(env.stdout, out, func(w io.Writer) { table(w, rows) })
	})
}

type deadReplayCmd struct {
	callFlags
	Sequences []uint64 `arg:"" name:"sequence" help:"Which ones, as list shows them."`
}

// Run publishes dead letters again.
func (c *deadReplayCmd) Run(env *environment) error {
	return c.each(env, c.Sequences, "replayed", transport.DeadLetterOffice.ReplayDeadLetter)
}

type deadDiscardCmd struct {
	callFlags
	Sequences []uint64 `arg:"" name:"sequence" help:"Which ones, as list shows them."`
}

// Run removes dead letters.
func (c *deadDiscardCmd) Run(env *environment) error {
	return c.each(env, c.Sequences, "discarded", transport.DeadLetterOffice.DiscardDeadLetter)
}

// each does one thing to every dead letter named, and reports all that failed.
func (f *callFlags) each(env *environment, sequences []uint64, did string, do func(transport.DeadLetterOffice, context.Context, uint64) error) error {
	return f.office(env, func(ctx context.Context, office transport.DeadLetterOffice) error {
		done, errs := []uint64{}, []error(nil)
		for _, n := range sequences {
			if err := do(office, ctx, n); err != nil {
				errs = append(errs, fmt.Errorf("dead letter %d: %w", n, err))
				continue
			}
			done = append(done, n)
		}
		err := f.print(env.stdout, map[string][]uint64{did: done}, func(w io.Writer) {
			if len(done) > 0 {
				_, _ = fmt.Fprintf(w, "%s %s\n", did, strings.Trim(fmt.Sprint(done), "[]"))
			}
		})
		return errors.Join(append(errs, err)...)
	})
}
