package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Baseline is the result of a different way to carry the same messages in the same run. The ratio
// of the coordinator's rate to a baseline's rate is independent of the machine's speed.
type Baseline struct {
	PerSecond         float64 // rounds per second; a round carries the messages of one saga
	CPUSecondsPer1000 float64
}

// leg is a command with its answer.
type leg struct {
	service         int
	command, answer []byte // data
}

// script holds the messages of one saga of a mix.
type script struct {
	legs          []leg
	announcements int // number of lifecycle messages: one at the start, the others at the end
}

// scriptOf returns the messages that the coordinator sends and gets for a saga of a mix: an undo
// carries the request and the result of its do, and a rejection carries no data.
func scriptOf(mix Mix) script {
	in, out := mustJSON(input(1)), mustJSON(done{1, strings.Repeat("r", 60)})
	if mix == AllWell {
		return script{[]leg{{0, in, out}, {1, in, out}, {2, in, out}, {3, in, out}}, 2}
	}
	back := mustJSON(map[string]json.RawMessage{"request": in, "result": out})
	return script{[]leg{{0, in, out}, {1, in, out}, {2, in, nil}, {1, back, nil}, {0, back, nil}}, 3}
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot fail: only the bench's own values
	}
	return data
}

// yardServices is the maximum number of services in a script.
const yardServices = 4

// hub stands in for the coordinator in both baselines: callers send it requests that start a round
// and wait for its end.
type hub struct {
	script  script
	start   func(round string) error
	mu      sync.Mutex
	waiting map[string]chan struct{} // keyed by round; closed when the round ends
}

func newHub(mix Mix) *hub { return &hub{script: scriptOf(mix), waiting: map[string]chan struct{}{}} }

// serve subscribes to the callers' requests on subjects that begin with prefix. It returns once the
// server has the subscription, because callers use a different connection and their requests could
// overtake it.
func (h *hub) serve(nc *nats.Conn, prefix string) error {
	for method, handle := range map[string]func(*nats.Msg){"start": h.started, "wait": h.awaited, "run": h.ran} {
		if _, err := nc.QueueSubscribe(prefix+"."+method, "hub", func(m *nats.Msg) { go handle(m) }); err != nil {
			return err
		}
	}
	return nc.Flush()
}

func (h *hub) started(m *nats.Msg) {
	if round := m.Header.Get("ce-sagaid"); h.begin(round) == nil {
		_ = m.RespondMsg(natsMessage("", round, []byte(`{"phase":"running"}`)))
	}
}

func (h *hub) ran(m *nats.Msg) {
	if h.begin(m.Header.Get("ce-sagaid")) == nil {
		h.awaited(m)
	}
}

func (h *hub) begin(round string) error {
	h.mu.Lock()
	h.waiting[round] = make(chan struct{})
	h.mu.Unlock()
	return h.start(round)
}

func (h *hub) awaited(m *nats.Msg) {
	round := m.Header.Get("ce-sagaid")
	h.mu.Lock()
	ended := h.waiting[round]
	h.mu.Unlock()
	<-ended
	h.mu.Lock()
	delete(h.waiting, round)
	h.mu.Unlock()
	_ = m.RespondMsg(natsMessage("", round, []byte(`{"phase":"completed"}`)))
}

// end notifies the waiter of a round. Call it once per round.
func (h *hub) end(round string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.waiting[round])
}

// caller returns a function that runs one round from start to end, with the same limits as package
// client: at most 4,096 callers at a time use a single request for a round. Other callers, and all
// callers of the kind CallersWait, send a start request, at most 512 at once, and then a wait
// request. For CallersListen, the answer to the last request replaces the announcement.
func caller(nc *nats.Conn, prefix string, callers Callers) func(context.Context, string) error {
	data, slots := mustJSON(input(1)), make(chan struct{}, client.DefaultConcurrency)
	runs := make(chan struct{}, client.RunsPerStart*client.DefaultConcurrency)
	if callers == CallersWait {
		runs = nil // callers of this kind do not run
	}
	return func(ctx context.Context, round string) error {
		select {
		case runs <- struct{}{}:
			defer func() { <-runs }()
			_, err := nc.RequestMsgWithContext(ctx, natsMessage(prefix+".run", round, data))
			return err
		default:
		}
		slots <- struct{}{}
		_, err := nc.RequestMsgWithContext(ctx, natsMessage(prefix+".start", round, data))
		<-slots
		if err == nil {
			_, err = nc.RequestMsgWithContext(ctx, natsMessage(prefix+".wait", round, nil))
		}
		return err
	}
}

// connections opens connections to one server, over TCP or in process.
type connections struct {
	server *embedded.Server
	inside bool
	open   []*nats.Conn
}

func (c *connections) connect() (*nats.Conn, error) {
	nc, err := nats.Connect(c.server.ClientURL(), carrierOptions(c.server, c.inside)...)
	if err == nil {
		c.open = append(c.open, nc)
	}
	return nc, err
}

func (c *connections) close() {
	for _, nc := range c.open {
		nc.Close()
	}
}

// carrierOptions makes a connection in-process if configured.
func carrierOptions(server *embedded.Server, inside bool) []nats.Option {
	if !inside {
		return nil
	}
	return []nats.Option{server.InProcess()}
}

// pace keeps o.InFlight rounds in flight and counts the rounds that end after a warm-up. Slow
// rounds end in waves, so the warm-up and the measurement are each extended until o.InFlight rounds
// have ended, at most to ten times the planned length. If no round has ended by then, the phase is
// extended until one round has ended, at most to sixty times the planned length.
func pace(ctx context.Context, o Options, what string, round func(context.Context) error) (Baseline, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var ended atomic.Int64
	var callers sync.WaitGroup
	defer callers.Wait()
	for range o.InFlight {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := round(ctx); err != nil && ctx.Err() == nil {
					stop(err)
				}
				ended.Add(1)
			}
		})
	}
	wave := func(what string, d time.Duration) {
		n := ended.Load()
		for passes := 1; ctx.Err() == nil; passes++ {
			pass(ctx, o, &ended, d, what)
			rounds := ended.Load() - n
			if rounds >= int64(o.InFlight) || rounds > 0 && passes >= 10 || passes >= 60 {
				return
			}
		}
	}
	wave(what+", warming up", o.For/5)
	n, began, before := ended.Load(), time.Now(), usage()
	wave(what, o.For/2)
	took, rounds, after := time.Since(began), float64(ended.Load()-n), usage()
	if err := context.Cause(ctx); err != nil {
		return Baseline{}, fmt.Errorf("%s: %w", what, err)
	}
	stop(nil)
	if rounds == 0 {
		return Baseline{}, fmt.Errorf("%s: no round ended within %s", what, took)
	}
	return Baseline{rounds / took.Seconds(), (after.cpu - before.cpu).Seconds() / rounds * 1000}, nil
}
