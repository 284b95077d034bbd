package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/natsaccount"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
)

// Interface guards.
var (
	_ transport.Bus              = (*Bus)(nil)
	_ transport.Requester        = (*Bus)(nil)
	_ transport.Responder        = (*Bus)(nil)
	_ transport.Prefixer         = (*Bus)(nil)
	_ transport.DeadLetterOffice = (*Bus)(nil)
	_ transport.Tracker          = (*source)(nil)
)

const (
	pullExpiry = 5 * time.Second  // timeout of a pull request
	apiTimeout = 5 * time.Second  // timeout of a request to the server
	drainLimit = 10 * time.Second // how long Close waits for the connection
	deadDrain  = 2 * time.Second  // how long Close waits for dead letters to be stored
)

// Bus is a transport.Bus on JetStream, created by Connect or New. It runs two goroutines: one
// checks the streams, the other moves dead letters.
type Bus struct {
	config   Config
	subjects transport.Subjects
	names    map[transport.Stream]string // names of the streams on the server
	nc       *nats.Conn
	owned    bool       // whether Close closes nc
	answers  *nats.Conn // the connection for answering requests: nc or a separate one
	js       jetstream.JetStream

	broken chan string // reply subjects of deliveries that broke the connection
	resets chan struct{}
	poke   chan struct{} // wakes watch
	status chan nats.Status
	stop   func()
	done   sync.WaitGroup

	streams map[transport.Stream]*kept

	readers *readers
	most    func(transport.Stream, string) int // maximum number of messages in a bundle; see readers

	dead     *deadQueue
	rings    *rings
	provided provided

	consumers  *consumerFile
	beganEmpty atomic.Bool // whether Connect or New has created the stream of commands or of events

	token      atomic.Pointer[string] // identifies our claim; nil if we have no claim
	fence      atomic.Pointer[fence]  // the fence of our claim; nil if we have no fence
	fallen     atomic.Bool            // the server seems to have lost the fence
	moved      chan struct{}          // signals that the claim should be confirmed now
	claimsSeen atomic.Bool            // whether the stream of claims has ever existed

	expiring atomic.Bool  // whether the stream of commands supports expiry
	copies   atomic.Int32 // replicas of the stream of commands on the server; 0 if unknown

	mu      sync.Mutex
	closed  bool
	sources map[*source]struct{}
	serving map[*nats.Subscription]struct{}

	violations *violations
	odd        sync.Map // unknown refusal codes that have been logged

	failed      atomic.Int32 // consecutive batches without any reply
	unreachable time.Time    // when the streams became unreachable; used by watch only
	stats       counters
}

// Connect connects to a server and creates the bus, including its streams. Services may start
// before the server. Connect therefore waits for the server until ctx ends or Config.ConnectWait is
// over, and logs that it waits. After that, the connection reconnects without limit. Connect
// returns ErrPayload if the server's max_payload is less than MinPayload.
func Connect(ctx context.Context, config Config) (*Bus, error) {
	if err := errors.Join(config.Validate(), config.CheckFiles()); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	config = config.withDefaults()
	options, err := config.options()
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	ctx, cancel := config.limit(ctx)
	defer cancel()
	nc, err := nats.Connect(config.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", masked.URLs(config.URL), masked.Error(err))
	}
	if err := config.awaitConnected(ctx, nc); err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to NATS at %s: %w; is the server running there, and are the credentials right?", masked.URLs(config.URL), masked.Error(err))
	}
	answers, err := config.connectResponder(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to NATS at %s to answer requests: %w", masked.URLs(config.URL), masked.Error(err))
	}
	b, err := newBus(ctx, nc, answers, config, true)
	if err != nil {
		answers.Close()
		nc.Close()
		return nil, err
	}
	return b, nil
}

// Prefix implements transport.Prefixer. It returns Config.Prefix, or the default.
func (b *Bus) Prefix() string { return b.config.Prefix }

// connectResponder opens the connection for answering requests, or returns nc if Config.Responder
// is nil.
func (c Config) connectResponder(ctx context.Context, nc *nats.Conn) (*nats.Conn, error) {
	if c.Responder == nil {
		return nc, nil
	}
	c.Name += " (requests)"
	answers, err := nats.Connect(c.URL, append(c.basic(), c.Responder...)...)
	if err != nil {
		return nil, err
	}
	if err := c.awaitConnected(ctx, answers); err != nil {
		answers.Close()
		return nil, err
	}
	return answers, nil
}

// New creates a bus on an existing connection. The caller closes the connection after the bus. The
// connection should reconnect without limit: nats.MaxReconnects(-1).
func New(ctx context.Context, nc *nats.Conn, config Config) (*Bus, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("create NATS bus: %w", err)
	}
	return newBus(ctx, nc, nc, config.withDefaults(), false)
}

func newBus(ctx context.Context, nc, answers *nats.Conn, config Config, owned bool) (*Bus, error) {
	if err := errors.Join(checkVersion(nc.ConnectedServerVersion()), checkPayload(nc.MaxPayload())); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(config.MaxPublishing),
		jetstream.WithPublishAsyncTimeout(config.PublishTimeout),
		jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return nil, fmt.Errorf("create NATS bus: %w", err)
	}
	b := &Bus{
		config:   config,
		subjects: transport.Subjects{Prefix: config.Prefix},
		names:    map[transport.Stream]string{},
		nc:       nc,
		owned:    owned,
		answers:  answers,
		js:       js,
		broken:   make(chan string, 64),
		resets:   make(chan struct{}, 1),
		poke:     make(chan struct{}, 1),
		moved:    make(chan struct{}, 1),
		streams:  map[transport.Stream]*kept{},
		sources:  map[*source]struct{}{},
		serving:  map[*nats.Subscription]struct{}{},
	}
	b.readers = newReaders(config.Provision == ProvisionCreate, b.lookSoon)
	b.most = b.readers.most
	b.violations = newViolations(b.subjects)
	unwatch := b.watchViolations()
	b.rings = newRings(b)
	b.dead = newDeadQueue(b)
	b.consumers = &consumerFile{bus: b}
	for _, stream := range transport.Streams {
		b.names[stream] = config.streamName(stream)
		b.streams[stream] = &kept{repair: make(chan struct{}, 1)}
	}
	if err := b.provision(ctx); err != nil {
		unwatch()
		return nil, err
	}
	b.warnOfAccount(ctx)
	unfollow, err := b.consumers.watchConsumers()
	if err != nil {
		unwatch()
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	unhear := b.watchDisconnects()
	b.stop = func() { stop(); unhear(); unwatch(); unfollow() }
	b.status = nc.StatusChanged(nats.CONNECTED)
	b.done.Go(func() { b.watch(watching) })
	b.done.Go(func() { b.dead.run(watching) })
	return b, nil
}

// limit returns a context that also ends after ConnectWait, unless ConnectWait is negative. Its
// cause then says how long the wait was.
func (c Config) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.ConnectWait < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.ConnectWait, fmt.Errorf("gave up after %s: %w", c.ConnectWait, context.DeadlineExceeded))
}

// awaitConnected waits for the first connection and logs that it waits.
func (c Config) awaitConnected(ctx context.Context, nc *nats.Conn) error {
	line := waiting.On(c.told, "NATS; is the server running there, and are the credentials right?", c.ConnectWait, "nats", masked.URLs(c.URL))
	tick := time.NewTicker(waiting.Every)
	defer tick.Stop()
	changed := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changed)
	for !nc.IsConnected() {
		if nc.IsClosed() {
			if err := nc.LastError(); err != nil {
				return err
			}
			return nats.ErrConnectionClosed
		}
		line.Still(masked.Error(nc.LastError()))
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			if err := nc.LastError(); err != nil {
				return fmt.Errorf("%w (last error: %w)", context.Cause(ctx), err)
			}
			return context.Cause(ctx)
		}
	}
	line.Over()
	return nil
}

// checkVersion returns an error for servers before 2.10, which do not support several filters per
// consumer. It accepts a version that it cannot parse.
func checkVersion(version string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && (major < 2 || major == 2 && minor < 10) {
		return fmt.Errorf("the NATS server is version %s; the bus needs at least 2.10; use the latest 2.12 release or a later version, which fixes security issues between accounts", version)
	}
	return nil
}

// Conn returns the underlying connection.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// StreamName returns a stream's name on the server, such as SAGA_COMMANDS.
func (b *Bus) StreamName(s transport.Stream) string { return b.names[s] }

// BeganEmpty reports whether the stream of commands or of events did not exist, or was replaced,
// when the bus was created. Answers may then have been lost that were given before.
func (b *Bus) BeganEmpty() bool { return b.beganEmpty.Load() }

// Resets implements transport.Bus.
func (b *Bus) Resets() <-chan struct{} { return b.resets }

// Close closes all sources and responders. If the bus opened the connection, Close also drains it,
// so that pending publishes and acknowledgements are still sent. It waits at most 10 s for a
// connection to drain.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	sources, serving := b.sources, b.serving
	b.sources, b.serving = nil, nil
	b.mu.Unlock()

	for s := range sources {
		s.close(false)
	}
	for sub := range serving {
		_ = sub.Drain()
	}
	moved, cancel := context.WithTimeout(context.Background(), deadDrain)
	b.dead.close(moved)
	cancel()
	b.stop()
	b.nc.RemoveStatusListener(b.status)
	b.done.Wait()
	if !b.owned {
		_ = b.nc.FlushTimeout(apiTimeout)
		b.js.CleanupPublisher()
		return nil
	}
	var err error
	if b.answers != b.nc {
		err = drain(b.answers)
	}
	return errors.Join(err, drain(b.nc))
}

func drain(nc *nats.Conn) error {
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	if !nc.IsConnected() || nc.Drain() != nil {
		nc.Close() // without a connection, there is nothing to drain
		return nil
	}
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	for !nc.IsClosed() {
		select {
		case <-closed:
		case <-limit.C:
			nc.Close()
			return fmt.Errorf("close NATS bus: the connection did not drain within %s", drainLimit)
		}
	}
	return nil
}

func (b *Bus) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// A message whose subject breaks the client's connection (see internal/strict) is redelivered after
// each reconnect. Package strict cannot filter the message if the caller opened the connection or
// the connection uses TLS. In that case the bus terminates the message, using the reply subject in
// the client's error.

// handlers serializes changes to the connections' handlers. Otherwise two buses that are created on
// one connection at the same time could overwrite each other's handlers.
var handlers sync.Mutex

// watchDisconnects adds a handler for lost connections, which also calls the existing handler. The
// handler is never removed, because a handler that was added later may call it. After stop, it only
// calls the existing handler and does not reference the bus.
func (b *Bus) watchDisconnects() (stop func()) {
	handlers.Lock()
	defer handlers.Unlock()
	var open atomic.Pointer[Bus]
	open.Store(b)
	before := b.nc.DisconnectErrHandler()
	b.nc.SetDisconnectErrHandler(func(nc *nats.Conn, err error) {
		if before != nil {
			before(nc, err)
		}
		if b := open.Load(); b != nil {
			b.disconnected(err)
		}
	})
	return func() { open.Store(nil) }
}

// disconnected makes watch terminate the delivery that broke the connection, if a delivery broke
// it.
func (b *Bus) disconnected(err error) {
	reply := brokenBy(err)
	if reply == "" {
		return
	}
	select {
	case b.broken <- reply:
		b.lookSoon()
	default: // the channel is full; the message is terminated after its next delivery
	}
}

// brokenBy returns the reply subject of the delivery that the client could not parse, or "" if the
// connection was lost for another reason. The message's subject contains no space, because the
// server has parsed it.
func brokenBy(err error) string {
	if err == nil {
		return ""
	}
	_, line, ok := strings.Cut(err.Error(), "MsgArgs Parse Error: '")
	words := strings.Split(strings.TrimSuffix(line, "'"), " ")
	if !ok || len(words) < 4 || len(words) > 5 || !strings.HasPrefix(words[2], "$JS.ACK.") {
		return ""
	}
	return words[2]
}

// terminateBroken terminates deliveries that broke connections. Only watch calls it.
func (b *Bus) terminateBroken() {
	for {
		select {
		case reply := <-b.broken:
			b.stats.deadUnstored.Add(1)
			b.config.Logger.Warn("a message was terminated because the NATS client cannot parse its subject, and each delivery would end the connection", "sequence", streamSequence(reply))
			_ = b.nc.Publish(reply, []byte(term))
		default:
			return
		}
	}
}

// watchViolations adds a handler that records permission errors and also calls the existing
// handler. After stop, it only calls the existing handler, as in watchDisconnects.
func (b *Bus) watchViolations() (stop func()) {
	handlers.Lock()
	defer handlers.Unlock()
	var open atomic.Pointer[violations]
	open.Store(b.violations)
	before := b.nc.ErrorHandler()
	b.nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if v := open.Load(); v != nil {
			v.note(err, time.Now())
		}
		if before != nil {
			before(nc, sub, err)
		}
	})
	return func() { open.Store(nil) }
}

// warnOfAccount logs a warning if all users of the server share one account.
func (b *Bus) warnOfAccount(ctx context.Context) {
	if b.config.Provision != ProvisionCreate || !b.nc.AuthRequired() {
		return
	}
	if account, err := natsaccount.Of(ctx, b.nc); err == nil && account == natsaccount.Global {
		b.config.Logger.Warn("all users of the NATS server are in one account: "+natsaccount.Risk, "fix", natsaccount.Fix)
	}
}

// maxQuoted is the maximum length of received text in an error or a log message, in bytes.
const maxQuoted = 64
