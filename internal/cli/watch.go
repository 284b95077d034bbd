package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/cenkalti/backoff/v5"
	"golang.org/x/term"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type watchCmd struct {
	callFlags
	filterFlags
	ID string `arg:"" optional:"" help:"The saga's id; without it every saga that the flags match."`
}

// Help gives examples.
func (watchCmd) Help() string {
	return `On a terminal the picture is drawn again in its place; elsewhere each change is a line. A saga is
watched until it has ended, with the exit codes of wait; many until Ctrl-C. A coordinator that is
restarted is waited for.

Examples:
  coordinator watch order-42
  coordinator watch --open
  coordinator watch -d checkout -o json | jq -r 'select(.saga.phase == "parked") | .saga.id'`
}

// Run watches sagas.
func (c *watchCmd) Run(env *environment) error {
	if c.ID != "" && !c.empty() {
		return &exitError{code: ExitUsage, err: errors.New("name one saga, or say which with flags, not both")}
	}
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	w := &watch{env: env, command: c, sagas: map[string]*apiv1.Saga{}, screen: screenOf(env.stdout) > 0 && c.Output == "text"}
	request := &apiv1.WatchRequest{Id: c.ID}
	if c.ID == "" {
		request.Filter = filter
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	for {
		begun := w.received
		err := c.call(env, 0, func(ctx context.Context, api service) error { return w.follow(ctx, api, request) })
		var e *exitError
		switch {
		case env.ctx.Err() != nil:
			return nil // Ctrl-C is how one leaves
		case err == nil && w.ended != nil:
			return outcome(w.ended.GetPhase())
		case w.received == 0 || err != nil && (!errors.As(err, &e) || e.code != ExitNotReachable):
			return err
		}
		if w.received > begun {
			pause.Reset()
		}
		_, _ = fmt.Fprintln(env.stderr, "the coordinator is away; trying again")
		select {
		case <-time.After(pause.NextBackOff()):
		case <-env.ctx.Done():
		}
	}
}

// maxWatched bounds the sagas that a picture is made of; changes of others are counted.
const maxWatched = 10_000

// watch is what has been seen.
type watch struct {
	env      *environment
	command  *watchCmd
	screen   bool // draw again in place
	received int
	missed   int64
	sagas    map[string]*apiv1.Saga
	ended    *apiv1.Saga // the one that was watched
}

// follow takes in one stream until it ends, or until the saga that is watched has.
func (w *watch) follow(ctx context.Context, api service, request *apiv1.WatchRequest) error {
	stream, err := api.Watch(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	clear(w.sagas)
	changed := false
	for stream.Receive() {
		w.received++
		m := stream.Msg()
		changed = w.take(m) || changed
		if w.screen {
			if changed && (m.GetCaughtUp() || m.GetSaga() != nil) {
				w.draw()
				changed = false
			}
		} else if err := w.line(m); err != nil {
			return err
		}
		if s := m.GetSaga(); request.GetId() != "" && s.GetEnded() != nil {
			w.ended = s
			return nil
		}
	}
	return stream.Err()
}

// take remembers a change.
func (w *watch) take(m *apiv1.WatchResponse) (changed bool) {
	w.missed += m.GetMissed()
	s := m.GetSaga()
	switch {
	case s == nil:
		return m.GetCaughtUp()
	case m.GetLeft():
		delete(w.sagas, s.GetId())
	case len(w.sagas) < maxWatched || w.sagas[s.GetId()] != nil:
		w.sagas[s.GetId()] = s
	default:
		w.missed++
	}
	return true
}

// line writes a change as a line.
func (w *watch) line(m *apiv1.WatchResponse) error {
	s := m.GetSaga()
	if s == nil && m.GetMissed() == 0 {
		return nil // a sign of life
	}
	if w.command.Output == "json" {
		data, err := apiJSON(m)
		if err != nil {
			return err
		}
		return json.NewEncoder(w.env.stdout).Encode(data) // which makes one line of it
	}
	if m.GetMissed() > 0 {
		_, _ = fmt.Fprintf(w.env.stderr, "%d changes were not shown: they came quicker than they could be sent\n", m.GetMissed())
	}
	if s == nil {
		return nil
	}
	left := ""
	if m.GetLeft() {
		left = " (does not match any more)"
	}
	_, err := fmt.Fprintf(w.env.stdout, "%s  %s  %s  %s  revision %d%s  %s\n", stamp(s.GetUpdated()), s.GetId(), refOf(s.GetDefinition()), s.GetPhase(), s.GetRevision(), left, oneLine(s.GetReason(), 80))
	return err
}

// draw writes the picture again in its place.
func (w *watch) draw() {
	var picture bytes.Buffer
	width, height := screenOf(w.env.stdout), 24
	if f, ok := w.env.stdout.(*os.File); ok {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil {
			height = h
		}
	}
	if s := w.sagas[w.command.ID]; s != nil {
		printAs(&picture, s, view{}, width, paletteOf(w.env.stdout))
	} else {
		w.drawMany(&picture, width, height)
	}
	_, _ = io.WriteString(w.env.stdout, "\x1b[H\x1b[2J"+picture.String())
}

// drawMany writes the sagas that moved last, as many as there is room for.
func (w *watch) drawMany(picture io.Writer, width, height int) {
	all := make([]*apiv1.Saga, 0, len(w.sagas))
	phases := map[string]int{}
	for _, s := range w.sagas {
		all = append(all, s)
		phases[s.GetPhase()]++
	}
	slices.SortFunc(all, func(a, b *apiv1.Saga) int { return b.GetUpdated().AsTime().Compare(a.GetUpdated().AsTime()) })
	_, _ = fmt.Fprintf(picture, "%d sagas:", len(all))
	for _, phase := range []string{"running", "compensating", "parked", "completed", "compensated"} {
		if phases[phase] > 0 {
			_, _ = fmt.Fprintf(picture, "  %d %s", phases[phase], phase)
		}
	}
	if w.missed > 0 {
		_, _ = fmt.Fprintf(picture, "  (%d changes not shown)", w.missed)
	}
	_, _ = fmt.Fprintln(picture)
	rows := [][]string{{"SAGA", "DEFINITION", "PHASE", "REVISION", "UPDATED", "REASON"}}
	for _, s := range all[:min(len(all), max(1, height-3))] {
		rows = append(rows, []string{s.GetId(), refOf(s.GetDefinition()), s.GetPhase(), fmt.Sprint(s.GetRevision()), stamp(s.GetUpdated()), oneLine(s.GetReason(), 60)})
	}
	tableOf(picture, rows, width, paletteOf(w.env.stdout))
}
