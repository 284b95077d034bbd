package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/participant/boltinbox"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type orphansCmd struct {
	callFlags
	File      string `arg:"" optional:"" default:"-" help:"File with one idempotency key per line; - for stdin."`
	BoltInbox string `type:"existingfile" placeholder:"FILE" help:"Read the keys from the inbox in this bbolt file instead; use a copy, or stop its service first."`
	Since     string `placeholder:"TIME" help:"Ignore keys of unknown sagas that were recorded before this time (without a recorded time: whose saga started before it), because retention has removed those sagas. Give the time of the backup."`
}

// Help gives examples.
func (orphansCmd) Help() string {
	return `After a restore of a backup: finds effects of participants that the restored store does not know
about. It reads idempotency keys (saga/birth/step/direction) of the participants' inboxes, looks them up at the
coordinator, and prints those that an operator has to check, as JSON lines with -o json. A line may
hold after the key the time it was recorded: in RFC 3339, or as milliseconds since 1970. JSON lines work, too:
{"key":"order-42/hod85snpc0/charge-card/do","time":"2026-11-21T12:00:00Z"}. Empty lines and those that start with
# are ignored. Lines that cannot be parsed are reported on stderr, and all others are still checked.

  unknown_saga  the saga is not known
  other_saga    another saga, started at another time, has its id
  not_done      the saga has not recorded the step as done
  not_undone    the saga relies on a step that was undone
  unknown_step  the saga has no such step
  unreadable    the saga's record is damaged

docs/OPERATING.md (When the machine is lost) explains how to get the keys and what to do about each kind. Exit
code 1: a key needs a check, or a line could not be parsed.

Examples:
  psql -At -d payment -f keys.sql | coordinator orphans --since 2026-11-21T09:30:00Z
  coordinator orphans keys.txt -o json | jq -r 'select(.kind == "unknown_saga") | .key'
  coordinator orphans --bolt-inbox copy-of-inventory.db`
}

// Run checks every key.
func (c *orphansCmd) Run(env *environment) error {
	o := &orphans{orphansCmd: c, env: env, pace: newPace(env.stderr, "checked", "key", "keys", 0)}
	var err error
	if o.since, err = parseTime(c.Since, time.Now()); err != nil {
		return &exitError{code: ExitUsage, err: fmt.Errorf("--since: %w", err)}
	}
	read, done, err := c.source(env)
	if err != nil {
		return err
	}
	defer done()
	if err := c.call(env, 0, func(ctx context.Context, api service) error { return o.run(ctx, api, read) }); err != nil {
		return err
	}
	return o.verdict()
}

// source opens the input that holds the keys.
func (c *orphansCmd) source(env *environment) (read func(*orphans) error, done func(), err error) {
	switch {
	case c.BoltInbox != "" && c.File != "-":
		return nil, nil, &exitError{code: ExitUsage, err: errors.New("name a file of keys or a --bolt-inbox, not both")}
	case c.BoltInbox != "":
		db, err := bbolt.Open(c.BoltInbox, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return nil, nil, &exitError{code: ExitFailed, err: fmt.Errorf("open the inbox %s: %w", c.BoltInbox, err), hint: "stop the service that has the file open, or use a copy of it"}
		}
		return func(o *orphans) error {
			return boltinbox.New(db).Keys(func(key contract.Key, recorded time.Time) error { return o.add(asked{key: key, recorded: recorded}) })
		}, func() { _ = db.Close() }, nil
	case c.File == "-":
		return func(o *orphans) error { return o.lines(env.stdin) }, func() {}, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, nil, &exitError{code: ExitUsage, err: err}
	}
	return func(o *orphans) error { return o.lines(f) }, func() { _ = f.Close() }, nil
}

// asked is a key to look up.
type asked struct {
	key      contract.Key
	recorded time.Time // zero if unknown
	line     int       // 0 if not read from a line
}

// orphans is a search in progress.
type orphans struct {
	*orphansCmd

	env   *environment
	since time.Time // zero selects all times
	pace  *pace
	ask   func([]asked) error
	batch []asked

	checked, found, older, unread int
}

// run reads the keys and looks them up in batches.
func (o *orphans) run(ctx context.Context, api service, read func(*orphans) error) error {
	o.ask = func(batch []asked) error {
		within, _, stop := o.env.hears(ctx, "the answer of the coordinator", o.Timeout)
		defer stop()
		keys := make([]string, len(batch))
		for i := range batch {
			keys[i] = batch[i].key.String()
		}
		r, err := api.FindOrphans(within, connect.NewRequest(&apiv1.FindOrphansRequest{Keys: keys}))
		if err != nil {
			return tooQuiet(within, err)
		}
		return o.answered(batch, r.Msg.GetOrphans())
	}
	if err := read(o); err != nil {
		return err
	}
	return o.flush()
}

func (o *orphans) add(one asked) error {
	if o.batch = append(o.batch, one); len(o.batch) < api.MaxOrphanKeys {
		return nil
	}
	return o.flush()
}

func (o *orphans) flush() error {
	if len(o.batch) == 0 {
		return nil
	}
	err := o.ask(o.batch)
	o.checked += len(o.batch)
	o.pace.add(int64(len(o.batch)))
	o.batch = o.batch[:0]
	return err
}

// answered prints the orphans in the answer. They have the order of batch.
func (o *orphans) answered(batch []asked, found []*apiv1.Orphan) error {
	for _, orphan := range found {
		for len(batch) > 0 && batch[0].key.String() != orphan.GetKey() {
			batch = batch[1:]
		}
		if len(batch) == 0 {
			return fmt.Errorf("the coordinator returned key %.300q, which was not in the request", orphan.GetKey())
		}
		one := batch[0]
		batch = batch[1:]
		if o.isOlder(orphan.GetKind(), one) {
			o.older++
			continue
		}
		o.found++
		if err := o.printOrphan(orphan, one); err != nil {
			return err
		}
	}
	return nil
}

// isOlder reports whether a key is from before --since and its saga is unknown. Retention may have
// removed that saga.
func (o *orphans) isOlder(kind string, one asked) bool {
	if kind != string(api.OrphanUnknownSaga) && kind != string(api.OrphanOtherSaga) {
		return false
	}
	at := one.recorded
	if at.IsZero() {
		at = one.key.Birth.Time()
	}
	return at.Before(o.since)
}

func (o *orphans) printOrphan(orphan *apiv1.Orphan, one asked) error {
	if o.Output == "json" {
		data, err := apiJSON(orphan)
		if err != nil {
			return err
		}
		line := map[string]any{}
		if err := json.Unmarshal(data, &line); err != nil {
			return err
		}
		if !one.recorded.IsZero() {
			line["recorded"] = one.recorded.UTC()
		}
		if one.line > 0 {
			line["line"] = one.line
		}
		return o.env.stdout.JSONLine(line)
	}
	recorded := ""
	if !one.recorded.IsZero() {
		recorded = ", recorded " + one.recorded.UTC().Format(time.RFC3339)
	}
	o.env.stdout.Printf("%-12s  %s (started %s%s): %s\n", orphan.GetKind(), one.key,
		one.key.Birth.Time().Format(time.RFC3339), recorded, orphan.GetFound())
	return nil
}

// verdict prints a summary. It returns an error if a key or a line must be checked.
func (o *orphans) verdict() error {
	older := ""
	if o.older > 0 {
		older = fmt.Sprintf(", %d older than --since", o.older)
	}
	o.env.stderr.Printf("checked %s: %d for an operator to check%s\n", plural.Of(o.checked, "key", "keys"), o.found, older)
	var problems []string
	if o.found > 0 {
		problems = append(problems, plural.Of(o.found, "key needs a check", "keys need a check"))
	}
	if o.unread > 0 {
		problems = append(problems, plural.Of(o.unread, "line", "lines")+" could not be parsed")
	}
	if len(problems) == 0 {
		return nil
	}
	return &exitError{code: ExitFailed, err: errors.New(strings.Join(problems, ", and ")), hint: "docs/OPERATING.md (When the machine is lost) explains what to do about each kind"}
}

// Limits of a list of keys (I10).
const (
	longestLine = 4096 // in bytes; a key has at most 212
	mostNamed   = 100  // maximum number of lines whose errors are reported individually
)

// lines reads a list of keys. If a line cannot be parsed, it reports the line and continues.
func (o *orphans) lines(r io.Reader) error {
	lines := bufio.NewReaderSize(r, longestLine)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		one, wrong := parseAsked(line)
		switch {
		case long:
			wrong = fmt.Errorf("is longer than %d bytes", longestLine)
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("read line %d: %w", number, err)
		}
		if one.line = number; wrong != nil {
			o.unreadable(number, wrong)
		} else if one.key != (contract.Key{}) {
			if err := o.add(one); err != nil {
				return err
			}
		}
		for long {
			_, err = lines.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

func (o *orphans) unreadable(number int, wrong error) {
	switch o.unread++; {
	case o.unread <= mostNamed:
		o.env.stderr.Printf("line %d: %s\n", number, wrong.Error())
	case o.unread == mostNamed+1:
		o.env.stderr.Printf("further lines that cannot be parsed are only counted\n")
	}
}

// separators are the characters that database clients may print between a key and its time.
const separators = " \t,;|"

// parseAsked parses a line. It returns a zero key for an empty line or a comment.
func parseAsked(line []byte) (one asked, err error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return one, nil
	}
	text, at := string(line), ""
	if line[0] == '{' {
		var object struct {
			Key  string          `json:"key"`
			Time json.RawMessage `json:"time"`
		}
		if err := json.Unmarshal(line, &object); err != nil {
			return one, fmt.Errorf(`is not JSON of the form {"key":"…","time":"…"}: %w`, err)
		}
		text, at = object.Key, string(object.Time)
	} else if end := strings.IndexAny(text, separators); end >= 0 {
		text, at = text[:end], text[end:]
	}
	if one.key, err = contract.ParseKey(strings.Trim(text, `"`)); err != nil {
		return asked{}, err
	}
	if one.recorded, err = parseRecorded(strings.Trim(at, separators+`"`)); err != nil {
		return asked{}, err
	}
	return one, nil
}

// parseRecorded parses the time at which a key was recorded. It returns the zero time for ""
// and null.
func parseRecorded(text string) (time.Time, error) {
	if text == "" || text == "null" {
		return time.Time{}, nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%.60q is neither a time such as 2026-11-21T09:30:00Z nor milliseconds since 1970", text)
	}
	return t, nil
}
