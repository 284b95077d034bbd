package coordinator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Bus is what a Coordinator needs of the bus: to publish, to subscribe and to
// serve requests.
type Bus interface {
	transport.Bus
	transport.Responder
}

// Defaults of Config.
const (
	DefaultMaxBatch = 512
	DefaultMaxOpen  = 1_000_000
)

// DefaultShards is the default of Config.Shards.
func DefaultShards() int { return max(1, runtime.GOMAXPROCS(0)/4) }

// Config of a Coordinator. Store and Bus are required; the zero value of every
// other field means its default.
type Config struct {
	Store store.Store
	Bus   Bus
	// Subjects holds the prefix of all subjects. Default: "saga".
	Subjects transport.Subjects
	// Owner gets the store its claim on the prefix, and keeps it (I11). Moved signals that it
	// should be confirmed now. Default: nil, nobody else uses the bus.
	Owner *ownership.Keeper
	Moved <-chan struct{}
	// Name begins the durable name of the event subscription, and is the queue of the
	// requests. Default: "coordinator".
	Name string
	// Shards is the number of goroutines that decide; one saga is always handled
	// by the same one. One is quickest on two processors: what arrives while it
	// commits goes into the next commit, and every further shard makes commits
	// smaller. Default: one for every four processors, and at least one.
	Shards int
	// MaxBatch bounds the inputs that are decided and committed together by one
	// shard. Default: 512.
	MaxBatch int
	// MaxLinger bounds how long a shard waits for more inputs before it commits,
	// which it does only while its batches are large: with many sagas under way
	// that saves commits, with few it never happens. Negative: never. Default: 8 ms.
	MaxLinger time.Duration
	// MaxWaiting bounds the inputs that wait at one shard; those of one participant may be
	// half of them, and so may starts, requests and timers. When its half is full the bus is
	// not asked for more, and starts are refused with resource_exhausted. Default: 4096.
	MaxWaiting int
	// MaxOpen bounds the sagas that have not ended; starts beyond it are refused
	// with resource_exhausted. Those that wait for one participant may be as many as are
	// still allowed, so that one which is away refuses only sagas that need it.
	// Default: 1,000,000.
	MaxOpen int
	// MaxBacklog bounds the commands that wait for the bus to take them. Those for one
	// participant may take up as much as is left, and a sixteenth of it at least; beyond
	// that, starts of sagas that need it are refused with resource_exhausted, so that what
	// was accepted is not delayed until it times out. Default: 4096.
	MaxBacklog int
	// MaxUnanswered bounds the commands of one participant that lie on the bus unanswered;
	// MaxUnansweredBytes bounds their bytes. Further ones wait in the store, where they
	// delay nobody else's. Default: 20,000, and 64 MiB.
	MaxUnanswered, MaxUnansweredBytes int
	// MaxWatches bounds the watch requests of one caller that are held at once; ten times as
	// many are held in all. Further ones are refused with resource_exhausted.
	// Default: DefaultMaxWatches.
	MaxWatches int
	// CacheSize is how many open sagas are remembered, over all shards.
	// Default: 65,536.
	CacheSize int
	// Retention is how long a saga is kept after it ended, with its history; after
	// that only a tombstone remains. Default: 30 days.
	Retention time.Duration
	// TombstoneRetention is how long after its end a saga's id is remembered, so
	// that the same start is answered and not run twice. Default: 1 year.
	TombstoneRetention time.Duration
	// Secret keys the hash in the ids that the bus deduplicates. Keep it over
	// restarts. Default: random.
	Secret []byte
	// Definitions are registered before anything else.
	Definitions []*saga.Definition
	// Logger gets one line per transition. Default: slog.Default().
	Logger *slog.Logger
	// HideReasons keeps what participants gave as reasons out of transitions, and so out of
	// logs and traces: transport.Redacted stands there. Default: they are shown.
	HideReasons bool
	// Observer is told what happens, for metrics. Default: nobody.
	Observer Observer
	// Tracer follows sagas in a tracing system. Default: nobody; the trace context
	// that a caller gives is passed on as it came.
	Tracer Tracer
	// Version is what the overview says runs here. Default: nothing.
	Version string
	// NATS is where the overview says that the bus is reached, without passwords. Default: nothing.
	NATS string
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
	// Running is a clock that runs evenly, while the machine sleeps too, whatever is done to
	// Clock: against it it is noticed that that was set. Then the open sagas are retimed, and
	// retention waits for 24 h of it. Default, and with a shared store: nothing is noticed.
	Running func() time.Duration
	// Boot tells the start of the machine that Running counts from. With it a step across a
	// restart is noticed too. Default: not known.
	Boot string
	// AcceptClock says that the clock is right: retention does not wait for a step that was
	// noticed before.
	AcceptClock bool
}

// Validate returns everything that is wrong with the configuration, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, why string) { errs = append(errs, fmt.Errorf("coordinator.Config.%s: %s", field, why)) }
	if c.Store == nil {
		bad("Store", "is missing; open one with boltstore.Open")
	}
	if c.Bus == nil {
		bad("Bus", "is missing; connect one with natsbus.Connect")
	}
	if err := transport.CheckPrefix(c.Subjects.Prefix); err != nil {
		bad("Subjects", err.Error())
	}
	for _, n := range []struct {
		field string
		value int
	}{{"Shards", c.Shards}, {"MaxBatch", c.MaxBatch}, {"MaxWaiting", c.MaxWaiting}, {"MaxOpen", c.MaxOpen}, {"MaxBacklog", c.MaxBacklog}, {"CacheSize", c.CacheSize}, {"MaxWatches", c.MaxWatches}, {"MaxUnanswered", c.MaxUnanswered}, {"MaxUnansweredBytes", c.MaxUnansweredBytes}} {
		if n.value < 0 {
			bad(n.field, fmt.Sprintf("is %d; give a positive number, or 0 for the default", n.value))
		}
	}
	if c.Shards > 256 {
		bad("Shards", "is more than 256; a few per processor are enough")
	}
	if c.Retention < 0 || c.TombstoneRetention < 0 {
		bad("Retention", "is negative; give a duration, or 0 for the default")
	}
	if c.TombstoneRetention != 0 && c.Retention > c.TombstoneRetention {
		bad("TombstoneRetention", "is shorter than Retention; both count from the end of the saga")
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	fill := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	fill(&c.Shards, DefaultShards())
	fill(&c.MaxBatch, DefaultMaxBatch)
	fill(&c.MaxWaiting, 4096)
	fill(&c.MaxOpen, DefaultMaxOpen)
	fill(&c.MaxBacklog, 4096)
	fill(&c.CacheSize, 65_536)
	fill(&c.MaxWatches, DefaultMaxWatches)
	if c.Name == "" {
		c.Name = "coordinator"
	}
	if c.Retention == 0 {
		c.Retention = 30 * 24 * time.Hour
	}
	if c.TombstoneRetention == 0 {
		c.TombstoneRetention = max(365*24*time.Hour, c.Retention)
	}
	if c.MaxLinger == 0 {
		c.MaxLinger = 8 * time.Millisecond
	}
	if len(c.Secret) == 0 {
		c.Secret = make([]byte, 32)
		_, _ = rand.Read(c.Secret) // never fails (crypto/rand)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}
