package coordinator

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Limits for shutdown.
const (
	// flushTime bounds how long a stopping coordinator waits for the bus to accept committed
	// messages. Messages not accepted by then are sent after the next start.
	flushTime = 2 * time.Second
)

// Coordinator runs the sagas of one store on one bus.
//
// New connects the parts; Run owns the goroutines. Each shard has a goroutine, which decides and
// commits inputs. Other goroutines evaluate expensive mappings. The events from the bus, the
// timers, the relay and retention have one goroutine each. See ARCHITECTURE.md.
type Coordinator struct {
	config      Config
	definitions *definitions
	shards      []*shard
	relay       *outbox.Relay
	timekeeper  *timekeeper
	projection  *projection.Projection
	observer    Observer
	limited     *slog.Logger // for lines that any sender's message can trigger
	service     *service     // serves requests
	retryPacer  retryPacer
	seed        maphash.Seed

	ready    atomic.Bool
	started  chan struct{} // closed when the coordinator is first ready
	once     sync.Once
	stopping atomic.Bool
	broken   atomic.Pointer[error]
	waits    atomic.Pointer[string] // what the coordinator waits for before its store owns the prefix

	intake sync.RWMutex // held for reading while work is put into a shard's inbox
	closed bool         // whether the inboxes are closed; guarded by intake

	pending     atomic.Pointer[map[outbox.Destination]int] // latest counts of pending outbox records
	received    atomic.Int64                               // when the bus last delivered answers, in Unix nanoseconds
	handing     atomic.Int64                               // since when an answer waits for room in an inbox, in Unix nanoseconds; 0 if none waits
	handingTo   atomic.Int64                               // index of that inbox's shard
	monitor     *monitor
	timing      *timing
	evaluators  *evaluators
	refusals    chan Input // refused commands that wait for takeRefusals
	cacheHits   atomic.Uint64
	cacheMisses atomic.Uint64
}

// New creates a Coordinator. It does not access the store or the bus, or start goroutines; Run
// does.
func New(config Config) (*Coordinator, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	defs, timing := newDefinitions(config.Store), newTiming(&config)
	defs.early = slices.Clone(config.Definitions)
	config.Clock = timing.clock.now
	c := &Coordinator{
		config: config, definitions: defs, limited: loglimit.Logger(config.Logger),
		seed:    maphash.MakeSeed(),
		started: make(chan struct{}),
	}
	c.service = newService(c)
	c.timing, timing.c = timing, c
	c.observer = config.Observer
	c.projection = projection.New(config.Shards, c.shardIndex, config.Clock())
	c.relay = outbox.NewRelay(c.publisher(), config.Store, outbox.Options{
		OnPublish: c.observer.Published, OnRefused: c.refused, OnDropped: c.dropped, Now: config.Clock,
		Credit: config.MaxUnanswered, CreditBytes: config.MaxUnansweredBytes, Shared: config.Store.Shared(),
	})
	c.timekeeper = newTimekeeper(config.Store, timing.clock.stamp, c.put)
	if config.AnswersLost {
		c.timekeeper.recovery = &recovery{pending: c.relay.Recovering, clock: c.timekeeper.clock}
	}
	w := writer{subjects: config.Subjects, source: "/amends/" + config.Name, secret: config.Secret, tracer: config.Tracer}
	c.monitor = newMonitor(c)
	c.refusals = make(chan Input, maxRefusals)
	c.evaluators = newEvaluators()
	for i := range config.Shards {
		engine, err := newEngine(config.Store, defs, w, max(1, config.CacheSize/config.Shards))
		if err != nil {
			return nil, err
		}
		engine.AskUnsent(c.relay.Unsent)
		engine.FollowClock(timing.clock.sum)
		engine.EvaluateBeside(machine.BatchCost)
		c.shards = append(c.shards, &shard{c: c, engine: engine, part: c.projection.Part(i), inbox: newInbox(config.MaxWaiting), aside: map[contract.SagaID]*setAside{}})
	}
	return c, nil
}

// Register stores a definition; see Engine.Register. Before Run has read the stored definitions,
// Register only queues the definition; if storing it fails later, Run returns the error.
func (c *Coordinator) Register(ctx context.Context, def *saga.Definition) error {
	if stored, err := c.definitions.register(ctx, def); !stored || err != nil {
		return err
	}
	c.expectParticipants()
	c.projection.UnblockAll(func(err error) bool { return errors.Is(err, ErrUnknownDefinition) })
	c.timekeeper.again() // sagas may have waited for this definition
	return nil
}

// Run runs the sagas until ctx ends. It then takes no more inputs from the bus, commits and answers
// the inputs that it has taken, and waits up to two seconds until the bus has accepted the
// committed messages. It returns nil after an orderly shutdown. If the store fails, Run returns the
// error, and the process must exit.
func (c *Coordinator) Run(ctx context.Context) error {
	source, stopRequests, err := c.begin(ctx)
	if err != nil || source == nil {
		return err
	}
	// Stop in this order: intake (in), the shards, the relay (out).
	in, stopIn := context.WithCancel(ctx)
	defer stopIn()
	out, stopOut := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOut()

	var shards, intake, relay errgroup.Group
	guard := func(run func(context.Context) error, ctx context.Context) func() error {
		return func() error {
			err := run(ctx)
			if err != nil {
				c.broken.CompareAndSwap(nil, &err)
				stopIn()
			}
			return err
		}
	}
	for _, s := range c.shards {
		shards.Go(guard(s.run, out))
	}
	relay.Go(guard(c.relay.Run, out))
	relay.Go(func() error { return c.evaluators.run(out) })
	for _, run := range c.intakes(source) {
		intake.Go(guard(run, in))
	}
	c.ready.Store(true)
	c.noteReady()

	<-in.Done()
	c.ready.Store(false)
	c.stopping.Store(true)
	stopRequests()
	closeErr := source.Close()
	intakeErr := intake.Wait()
	c.closeInboxes()
	shardErr := shards.Wait()
	if c.broken.Load() == nil {
		c.flush()
	}
	stopOut()
	relayErr := relay.Wait()
	c.projection.Close()
	if broken := c.broken.Load(); broken != nil {
		return fmt.Errorf("coordinator: %w", *broken)
	}
	c.release(ctx)
	return errors.Join(closeErr, intakeErr, shardErr, relayErr)
}

// begin prepares the coordinator and subscribes to the bus. A nil source means that ctx ended
// before this store owned the prefix.
func (c *Coordinator) begin(ctx context.Context) (source transport.Source, stopRequests func(), err error) {
	if err := c.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	if source, err = c.subscribe(ctx); err != nil {
		return nil, nil, err
	}
	if stopRequests, err = c.service.serve(); err != nil {
		return nil, nil, errors.Join(err, source.Close())
	}
	c.expectParticipants()
	c.limitRelay(ctx)
	return source, stopRequests, nil
}

// limitRelay tells the relay how much the bus may hold, before it sends anything. Otherwise the
// pending commands of one participant could fill a small stream at the start.
func (c *Coordinator) limitRelay(ctx context.Context) {
	before := c.relay.InFlight()
	if load, err := c.load(ctx); err == nil {
		correct(c.relay, before, &load)
	}
}

// prepare loads the coordinator's state from the store, and waits until this store owns the prefix.
func (c *Coordinator) prepare(ctx context.Context) error {
	if err := c.definitions.load(ctx); err != nil {
		return err
	}
	for _, err := range c.definitions.unusable {
		c.config.Logger.ErrorContext(ctx, "a stored definition cannot be used by this release; its sagas are blocked", LogError, err)
	}
	if err := c.timing.load(ctx); err != nil {
		return err
	}
	if err := c.countOpen(ctx); err != nil {
		return err
	}
	return c.acquire(ctx)
}

// intakes returns the functions that take in or monitor work, each to be run on its own goroutine.
func (c *Coordinator) intakes(source transport.Source) []func(context.Context) error {
	c.timekeeper.watch(source, &c.received, c.overtaken)
	receive := func(ctx context.Context) error { return c.receive(ctx, source) }
	all := append([]func(context.Context) error{receive, c.timing.run, c.timekeeper.run, c.expire, c.watchBus, c.takeRefusals}, c.monitor.loops()...)
	if c.config.Owner != nil {
		all = append(all, func(ctx context.Context) error { return c.keepClaim(ctx, c.config.Moved) })
	}
	return all
}

// Ready returns nil if the coordinator accepts work, and otherwise the reason. It does not block;
// its answer may be slightly outdated.
func (c *Coordinator) Ready(context.Context) error {
	switch {
	case c.broken.Load() != nil && replaced(*c.broken.Load()):
		return *c.broken.Load()
	case c.broken.Load() != nil:
		return fmt.Errorf("the coordinator failed: %w", *c.broken.Load())
	case c.stopping.Load():
		return errors.New("stopping")
	case !c.ready.Load() && c.waits.Load() != nil:
		return errors.New("starting: " + *c.waits.Load())
	case !c.ready.Load():
		return errors.New("starting")
	}
	return c.monitor.ready()
}

// Started returns a channel that is closed when the coordinator first accepts work. The coordinator
// may become unready later; Ready reports that. If Run returns before the coordinator accepts work,
// the channel is never closed, so wait for Run too.
func (c *Coordinator) Started() <-chan struct{} { return c.started }

// noteReady closes started if the coordinator has become ready.
func (c *Coordinator) noteReady() {
	if c.Ready(context.Background()) == nil {
		c.once.Do(func() { close(c.started) })
	}
}

// Standstills returns what is stuck, oldest first. It is cheap; its answer may be slightly
// outdated.
func (c *Coordinator) Standstills() []api.Standstill { return c.monitor.current() }

// countOpen counts the open sagas in the store, at the start and when another coordinator may have
// changed sagas. If sagas changed during the count, the result may be wrong and is discarded.
func (c *Coordinator) countOpen(ctx context.Context) error {
	moves := c.projection.Moves()
	if c.busy() {
		return nil
	}
	counts, err := c.config.Store.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count the sagas: %w", err)
	}
	open := 0
	for _, n := range counts {
		open += n.Sagas - n.Ended
	}
	if !c.busy() {
		c.projection.Rebuild(moves, open)
	}
	return nil
}

// busy reports whether a shard is working on a batch.
func (c *Coordinator) busy() bool {
	return slices.ContainsFunc(c.shards, func(s *shard) bool { return s.busy.Load() != 0 })
}

// shardIndex returns the index of the shard that handles a saga.
func (c *Coordinator) shardIndex(id contract.SagaID) int {
	return int(maphash.String(c.seed, string(id)) % uint64(c.config.Shards))
}

// shardOf returns the shard that handles a saga.
func (c *Coordinator) shardOf(id contract.SagaID) *shard {
	return c.shards[c.shardIndex(id)]
}

// put hands work to its shard, and blocks while the shard's inbox is full.
func (c *Coordinator) put(ctx context.Context, w work) error {
	c.intake.RLock()
	defer c.intake.RUnlock()
	if c.closed {
		return transport.ErrClosed
	}
	return c.shardOf(w.input.Saga).inbox.put(ctx, w)
}

// offer hands work to its shard if there is room in the inbox.
func (c *Coordinator) offer(w work) (taken, open bool) {
	c.intake.RLock()
	defer c.intake.RUnlock()
	if c.closed {
		return false, false
	}
	return c.shardOf(w.input.Saga).inbox.offer(w), true
}

func (c *Coordinator) closeInboxes() {
	c.intake.Lock()
	defer c.intake.Unlock()
	c.closed = true
	for _, s := range c.shards {
		s.inbox.close()
	}
}

// flush gives the relay up to flushTime to publish committed messages.
func (c *Coordinator) flush() {
	deadline := time.Now().Add(flushTime)
	for s := c.relay.Stats(); (s.UnderWay > 0 || s.Sendable) && time.Now().Before(deadline); s = c.relay.Stats() {
		time.Sleep(2 * time.Millisecond)
	}
}

// watchBus makes the relay resend everything pending when the bus may have lost messages.
func (c *Coordinator) watchBus(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.config.Bus.Resets():
			c.config.Logger.WarnContext(ctx, "the bus may have lost messages; everything pending is sent again")
			c.relay.Resend()
		}
	}
}

// overtaken reports that timers ran although answers were still on the bus.
func (c *Coordinator) overtaken() {
	c.limited.Warn("timers fired although answers were waiting on the bus: either the coordinator is too slow, or another coordinator uses the same name, or very many commands were sent again after the bus had lost them", "after", maxBehind)
	c.observer.TimersOvertook()
}

// dropped reports announcements that the relay gave up.
func (c *Coordinator) dropped(announcements int, err error) {
	c.limited.Error("announcements were dropped", "announcements", announcements, LogError, err.Error())
	c.observer.AnnouncementsDropped(announcements)
}

// startRefused counts a start that was refused because of a limit.
func (c *Coordinator) startRefused(limit string, now time.Time) {
	c.projection.Refused(now)
	c.observer.StartRefused(limit, now)
}

// Stats is a coordinator's state in numbers.
type Stats struct {
	Sagas          []store.Count    // by definition, version and phase
	Open           int              // sagas that have not ended
	Blocked        int              // sagas found to be stuck since the start; at most MaxBlocked
	Standstills    []api.Standstill // what is stuck
	OutboxBacklog  int              // messages that the bus has not accepted
	OutboxOldest   time.Duration    // how long the oldest of them has been pending
	CacheHits      uint64           // since the start
	CacheMisses    uint64
	WaitingInputs  int // inputs in the shards' inboxes, or set aside while a mapping is evaluated
	WaitingCallers int // open wait requests
}

// Stats collects the numbers; the counts by definition come from the store.
func (c *Coordinator) Stats(ctx context.Context) (Stats, error) {
	counts, err := c.config.Store.Counts(ctx)
	if err != nil {
		return Stats{}, err
	}
	relay := c.relay.Stats()
	s := Stats{
		Sagas: counts, Open: c.projection.Open(), Blocked: c.projection.BlockedCount(),
		OutboxBacklog: relay.Backlog + relay.UnderWay, OutboxOldest: relay.Oldest,
		Standstills: c.Standstills(),
		CacheHits:   c.cacheHits.Load(), CacheMisses: c.cacheMisses.Load(),
		WaitingCallers: c.projection.Waiting(),
	}
	for _, shard := range c.shards {
		s.WaitingInputs += shard.inbox.len() + int(shard.waits.Load())
	}
	return s, nil
}

// pausedBudget bounds the time that one overview spends searching for sagas that were paused before
// the coordinator started.
const pausedBudget = 100 * time.Millisecond

// paused returns the number of paused sagas, or -1 if the search is not complete yet.
func (c *Coordinator) paused(ctx context.Context) (int, error) {
	for began := time.Now(); time.Since(began) <= pausedBudget; {
		read, err := c.projection.SearchPaused(func(cursor string) (ids []contract.SagaID, next string, err error) {
			page, next, err := c.config.Store.List(ctx, store.Filter{Paused: true, OpenOnly: true}, store.Page{Limit: store.MaxPage, Cursor: cursor})
			for i := range page {
				ids = append(ids, page[i].ID)
			}
			return ids, next, err
		})
		if err != nil {
			return -1, err
		}
		if !read {
			break
		}
	}
	if n, all := c.projection.Paused(); all {
		return n, nil
	}
	return -1, nil
}

// loadTime bounds how long a request waits for the bus to report its load.
const loadTime = 3 * time.Second

// load returns the load that the bus reports, or errNoLoad if the bus cannot report it.
func (c *Coordinator) load(ctx context.Context) (transport.Load, error) {
	scale, ok := c.config.Bus.(transport.Scale)
	if !ok {
		return transport.Load{}, errNoLoad
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	return scale.Load(ctx)
}

// correct updates the relay's counts from the messages on the bus, so that the relay limits each
// participant correctly.
func correct(relay *outbox.Relay, before outbox.InFlight, load *transport.Load) {
	commands := load.Streams[transport.StreamCommands]
	held := outbox.Held{Before: before, Limit: int64(commands.Limit), Used: int64(commands.Bytes), Messages: map[outbox.Destination]int{}}
	for participant, messages := range load.Commands {
		held.Messages[outbox.Destination(participant)] = int(messages)
	}
	relay.Correct(held)
}
