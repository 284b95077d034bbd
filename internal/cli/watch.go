package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/cenkalti/backoff/v5"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

type watchCmd struct {
	callFlags
	filterFlags
	ID   string        `arg:"" optional:"" help:"The saga's id. Without it, every saga that matches the flags."`
	Away time.Duration `name:"away-for" placeholder:"DURATION" default:"10m" help:"Maximum time to wait for a lost coordinator to return; 0 for no limit. Default: ${default}."`
}

// Help gives examples.
func (watchCmd) Help() string {
	return `Redraws the state in place on a terminal, and prints each change as a line elsewhere. One saga is
watched until it ends, with the exit codes of wait; several until Ctrl-C. Reconnects after the
coordinator restarts.

Examples:
  coordinator watch order-42
  coordinator watch --open
  coordinator watch -d checkout -o json | jq -r 'select(.saga.phase == "parked") | .saga.id'`
}

// Run watches sagas.
func (c *watchCmd) Run(env *environment) error {
	if c.ID != "" && !c.empty() {
		return &exitError{code: ExitUsage, err: errors.New("name one saga or give filter flags, not both")}
	}
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	w := &watch{env: env, command: c, sagas: map[string]*apiv1.Saga{}, screen: env.stdout.Terminal() && c.Output == "text"}
	request := &apiv1.WatchRequest{Id: c.ID}
	if c.ID == "" {
		request.Filter = filter
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	var away time.Time // when the connection was lost; zero while connected
	for {
		begun := w.received
		err := c.hold(env, 0, func(ctx context.Context, api service) error { return w.follow(ctx, api, request) })
		var e *exitError
		switch {
		case env.ctx.Err() != nil:
			return nil // Ctrl-C ends a watch
		case err == nil && w.ended != nil:
			return outcome(w.ended.GetPhase())
		case w.received == 0 || err != nil && (!errors.As(err, &e) || e.code != ExitNotReachable):
			return err
		}
		if w.received > begun {
			pause.Reset()
			away = time.Time{}
		}
		most := ""
		if away.IsZero() {
			away = time.Now()
		}
		if c.Away > 0 {
			most = fmt.Sprintf(", %s at most", c.Away)
		}
		if c.Away > 0 && time.Since(away) > c.Away {
			return &exitError{code: ExitNotReachable, err: fmt.Errorf("the coordinator has been unreachable since %s: %w", away.Format(time.TimeOnly), err), hint: "wait longer with --away-for"}
		}
		env.stderr.Printf("waiting for the coordinator, unreachable since %s%s\n", away.Format(time.TimeOnly), most)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-env.ctx.Done():
		}
	}
}

// maxWatched is the maximum number of sagas to show. Changes of other sagas are only counted.
const maxWatched = 10_000

// watch holds the state received from the stream.
type watch struct {
	env      *environment
	command  *watchCmd
	screen   bool // whether to redraw in place
	received int
	missed   int64
	sagas    map[string]*apiv1.Saga
	ended    *apiv1.Saga // the watched saga, after it has ended
}

// follow reads one stream until it ends, or until the watched saga has ended.
func (w *watch) follow(ctx context.Context, api service, request *apiv1.WatchRequest) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := sync.OnceFunc(w.env.waits("the coordinator", maxSilence))
	defer quiet()
	silent := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silent.Stop()
	err := w.receive(ctx, api, request, func() { quiet(); silent.Reset(maxSilence) })
	if errors.Is(context.Cause(ctx), errSilent) {
		return &exitError{code: ExitNotReachable, err: errSilent, hint: "check the coordinator with: coordinator healthcheck"}
	}
	return err
}

// maxSilence is how long a coordinator may send nothing before follow gives up the stream. A
// coordinator sends a keep-alive after 15 s. Tests shorten maxSilence.
var maxSilence = 30 * time.Second

var errSilent = errors.New("timed out: the coordinator sent nothing for too long")

func (w *watch) receive(ctx context.Context, api service, request *apiv1.WatchRequest, heard func()) error {
	stream, err := api.Watch(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	clear(w.sagas)
	changed := false
	for stream.Receive() {
		w.received++
		heard()
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

// take records a message, and reports whether anything changed.
func (w *watch) take(m *apiv1.WatchResponse) (changed bool) {
	w.missed += m.GetMissed()
	if m.GetRestarted() {
		clear(w.sagas)
	}
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

// line prints a change as one line.
func (w *watch) line(m *apiv1.WatchResponse) error {
	s := m.GetSaga()
	if s == nil && m.GetMissed() == 0 && !m.GetRestarted() {
		return nil // a keep-alive
	}
	if w.command.Output == "json" {
		data, err := apiJSON(m)
		if err != nil {
			return err
		}
		return errors.Join(w.env.stdout.JSONLine(data), w.env.stdout.Err())
	}
	if m.GetMissed() > 0 {
		w.env.stderr.Printf("%s not shown, because they came faster than they could be sent\n", plural.Of(m.GetMissed(), "change was", "changes were"))
	}
	if s == nil {
		return nil
	}
	left := ""
	if m.GetLeft() {
		left = " (no longer matches)"
	}
	w.env.stdout.Printf("%s  %s  %s  %s  revision %d%s  %s\n", stamp(s.GetUpdated()), s.GetId(), refOf(s.GetDefinition()), s.GetPhase(), s.GetRevision(), left, cmp.Or(s.GetProblem(), s.GetReason()))
	return w.env.stdout.Err()
}

// draw redraws the state in place.
func (w *watch) draw() {
	w.env.stdout.Redraw(func(picture *terminal.Stream, height int) {
		if s := w.sagas[w.command.ID]; s != nil {
			printSaga(picture, s)
		} else {
			w.drawMany(picture, height)
		}
	})
}

// drawMany prints the sagas that changed most recently, as many as fit.
func (w *watch) drawMany(picture *terminal.Stream, height int) {
	all := make([]*apiv1.Saga, 0, len(w.sagas))
	phases := map[string]int{}
	for _, s := range w.sagas {
		all = append(all, s)
		phases[s.GetPhase()]++
	}
	slices.SortFunc(all, func(a, b *apiv1.Saga) int { return b.GetUpdated().AsTime().Compare(a.GetUpdated().AsTime()) })
	picture.Printf("%s:", plural.Of(len(all), "saga", "sagas"))
	for _, phase := range []string{"running", "compensating", "parked", "completed", "compensated"} {
		if phases[phase] > 0 {
			picture.Printf("  %d %s", phases[phase], phase)
		}
	}
	if w.missed > 0 {
		picture.Printf("  (%s not shown)", plural.Of(w.missed, "change", "changes"))
	}
	picture.Printf("\n")
	rows := [][]string{{"SAGA", "DEFINITION", "PHASE", "REVISION", "UPDATED", "REASON"}}
	for _, s := range all[:min(len(all), height)] {
		rows = append(rows, []string{s.GetId(), refOf(s.GetDefinition()), s.GetPhase(), fmt.Sprint(s.GetRevision()), stamp(s.GetUpdated()), cmp.Or(s.GetProblem(), s.GetReason())})
	}
	picture.Top(rows, max(2, height-2))
}
