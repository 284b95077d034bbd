package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type exportCmd struct {
	serverFlags
	Definition  string `short:"d" help:"Only sagas of this definition, as name or name/version."`
	Phase       phases `short:"p" enum:"completed,compensated,parked" default:"completed,compensated,parked" help:"Only sagas that ended in these phases: ${enum}. Of parked sagas, only abandoned ones have ended."`
	EndedSince  string `placeholder:"TIME" help:"Only sagas that ended at this time or later, such as 2026-11-21T09:30:00Z, or within a duration, such as 24h."`
	EndedBefore string `placeholder:"TIME" help:"Only sagas that ended before this time."`
	CursorFile  string `type:"path" placeholder:"FILE" help:"File that records progress. An interrupted export resumes from it; a finished one removes it."`
	PageSize    int    `default:"100" help:"Sagas between two updates of the cursor file, 1 to 1000."`
}

// Help gives examples.
func (exportCmd) Help() string {
	return `Writes a line of JSON for each saga that has ended, with its history: {"saga":{…},"history":[…]},
in the API's format (docs/API.md), newest first. Sagas are kept for the retention time after
their end; export them before it is over.

Memory does not grow with the number of sagas. With --cursor-file an interrupted export resumes after the
last complete page; sagas written since then, at most one page, are written again.
If a saga cannot be read, it is reported on stderr, the export continues, and the exit code is 1.

Examples:
  coordinator export > sagas.ndjson
  coordinator export -d checkout --ended-since 24h | gzip > checkout-$(date +%F).ndjson.gz
  coordinator export --cursor-file export.cursor >> sagas.ndjson
  coordinator export | jq -c 'select(.saga.phase == "compensated") | {id: .saga.id, reason: .saga.reason}'`
}

// historiesAtOnce is the maximum number of histories that are read in parallel.
const historiesAtOnce = 8

// Run exports the sagas that have ended.
func (c *exportCmd) Run(env *environment) error {
	e := &exporter{exportCmd: c, env: env, out: env.stdout, err: env.stderr, pace: newPace(env.stderr, "exported", "saga", "sagas", 0)}
	if err := e.prepare(time.Now()); err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	if err := c.call(env, 0, e.run); err != nil {
		return err
	}
	env.stderr.Printf("exported %s; looked at %d\n", plural.Of(e.exported, "saga", "sagas"), e.looked)
	if e.failed > 0 {
		return &exitError{code: ExitFailed, err: fmt.Errorf("%s not exported completely; see above", plural.Of(e.failed, "saga was", "sagas were")),
			hint: "find the damage with: coordinator verify; a backup may hold an intact copy"}
	}
	return nil
}

// exporter is an export in progress.
type exporter struct {
	*exportCmd
	filter        *apiv1.Filter
	since, before time.Time // zero means unbounded
	cursor        string
	env           *environment
	out, err      *terminal.Stream
	pace          *pace
	exported      int
	failed        int // sagas that could not be read completely, whether exported or not
	looked        int
}

// prepare reads the flags and the cursor file.
func (e *exporter) prepare(now time.Time) (err error) {
	e.filter = &apiv1.Filter{Phases: e.Phase}
	if e.Definition != "" {
		if e.filter.Definition, err = parseRef(e.Definition); err != nil {
			return err
		}
	}
	if e.since, err = parseTime(e.EndedSince, now); err != nil {
		return fmt.Errorf("--ended-since: %w", err)
	}
	if e.before, err = parseTime(e.EndedBefore, now); err != nil {
		return fmt.Errorf("--ended-before: %w", err)
	}
	if e.PageSize < 1 || e.PageSize > 1000 {
		return fmt.Errorf("--page-size %d: use 1 to 1000", e.PageSize)
	}
	if e.CursorFile == "" {
		return nil
	}
	data, err := os.ReadFile(e.CursorFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.cursor = strings.TrimSpace(string(data))
	return nil
}

// parseTime parses a time, or a duration before now. It returns the zero time for "".
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a time such as 2026-11-21T09:30:00Z nor a duration such as 24h", text)
	}
	return t, nil
}

// run exports page by page, and saves its progress after each page.
func (e *exporter) run(ctx context.Context, api service) error {
	for {
		next, err := e.page(ctx, api)
		if err != nil {
			return err
		}
		if err := e.mark(next); err != nil {
			return err
		}
		if e.cursor = next; next == "" {
			return nil
		}
	}
}

// page exports one page of sagas, and returns the cursor of the next page.
func (e *exporter) page(ctx context.Context, api service) (next string, err error) {
	ctx, heard, stop := e.env.hears(ctx, "the answer of the coordinator", e.Timeout)
	defer stop()
	defer func() { err = tooQuiet(ctx, err) }()
	r, err := api.List(ctx, connect.NewRequest(&apiv1.ListRequest{Filter: e.filter, Limit: int64(e.PageSize), Cursor: e.cursor}))
	if err != nil {
		return "", err
	}
	e.looked += len(r.Msg.GetSagas())
	var wanted []*apiv1.Saga
	for _, s := range r.Msg.GetSagas() {
		switch {
		case s.GetProblem() != "": // a damaged record does not show whether and when the saga ended
			e.skip(s.GetId(), s.GetProblem())
		case e.wants(s):
			wanted = append(wanted, s)
		}
	}
	lines, problems := make([][]byte, len(wanted)), make([]string, len(wanted))
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(historiesAtOnce)
	for i, s := range wanted {
		g.Go(func() (err error) { lines[i], problems[i], err = e.line(reading, api, s); heard(); return err })
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	stop() // the time to write the output does not count towards the timeout
	var whole bytes.Buffer
	exported := 0
	for i, line := range lines {
		if problems[i] != "" {
			e.skip(wanted[i].GetId(), problems[i])
		}
		if line != nil {
			whole.Write(append(line, '\n'))
			exported++
		}
	}
	if _, err := e.out.Lines().Write(whole.Bytes()); err != nil {
		return "", &exitError{code: ExitFailed, err: fmt.Errorf("write the export: %w", err), hint: "the output may end in the middle of a saga: make room on the disk and export again; with --cursor-file the export resumes with the last page"}
	}
	e.exported += exported
	e.pace.add(int64(len(wanted)))
	return r.Msg.GetNextCursor(), nil
}

// wants reports whether a saga ended within the selected time.
func (e *exporter) wants(s *apiv1.Saga) bool {
	if s.GetEnded() == nil || s.GetRemoved() {
		return false
	}
	ended := s.GetEnded().AsTime()
	return !ended.Before(e.since) && (e.before.IsZero() || ended.Before(e.before))
}

// skip reports that a saga is not exported completely. The export continues.
func (e *exporter) skip(id, problem string) {
	e.failed++
	e.err.Printf("saga %s is not exported completely: %s\n", id, problem)
}

// line returns a saga with its history as a line of JSON, and the first problem found in the saga.
// The line is nil if the saga cannot be read, or has been removed in the meantime.
func (e *exporter) line(ctx context.Context, api service, s *apiv1.Saga) (line []byte, problem string, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	events, err := history(ctx, api, &apiv1.HistoryRequest{Id: s.GetId()})
	if err != nil {
		switch connect.CodeOf(err) {
		case connect.CodeNotFound, connect.CodeFailedPrecondition: // removed in the meantime
			return nil, "", nil
		case connect.CodeInternal: // only this saga cannot be read
			return nil, err.Error(), nil
		}
		return nil, "", err
	}
	whole := struct {
		Saga    json.RawMessage   `json:"saga"`
		History []json.RawMessage `json:"history"`
	}{History: make([]json.RawMessage, len(events))}
	if whole.Saga, err = apiJSON(s); err != nil {
		return nil, err.Error(), nil
	}
	for i, event := range events {
		if whole.History[i], err = apiJSON(event); err != nil {
			return nil, err.Error(), nil
		}
		if event.GetProblem() != "" {
			problem = fmt.Sprintf("event %d: %s", event.GetRevision(), event.GetProblem())
		}
	}
	line, err = contract.EncodeJSON(whole)
	return line, problem, err
}

// mark saves progress in the cursor file, atomically. At the end of the export it removes the file.
func (e *exporter) mark(next string) error {
	switch {
	case e.CursorFile == "":
		return nil
	case next == "":
		if err := os.Remove(e.CursorFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the cursor file: %w", err)
		}
		return nil
	}
	temporary := filepath.Join(filepath.Dir(e.CursorFile), "."+filepath.Base(e.CursorFile)+".new")
	if err := os.WriteFile(temporary, []byte(next+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the cursor file: %w", err)
	}
	return os.Rename(temporary, e.CursorFile)
}
