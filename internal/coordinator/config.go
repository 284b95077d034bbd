package coordinator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Bus is what a Coordinator needs from the bus: publishing, subscribing and serving requests.
type Bus interface {
	transport.Bus
	transport.Responder
}

// Defaults of Config.
const (
	DefaultMaxBatch = 512
	DefaultMaxOpen  = 1_000_000
)

// MaxShards is the maximum of Config.Shards.
const MaxShards = 256

// DefaultShards is the default of Config.Shards.
func DefaultShards() int { return max(1, runtime.GOMAXPROCS(0)/4) }

// Config configures a Coordinator. Store and Bus are required; the zero value of every other field
// selects its default.
type Config struct {
	Store store.Store
	Bus   Bus
	// Subjects holds the prefix of all subjects. Default: "saga".
	Subjects transport.Subjects
	// Owner acquires and keeps the store's claim on the prefix (I11). A signal on Moved means that
	// the claim should be confirmed now. Default: nil, which assumes that no other store uses the
	// prefix.
	Owner *ownership.Keeper
	Moved <-chan struct{}
	// AnswersLost says that the bus has lost the answers that were on it when the coordinator last
	// ran. Timers then wait until the pending commands, which are sent again, have been answered, or
	// until none has been answered for 2 s; at most 30 s. Default: false.
	AnswersLost bool
	// Name is the prefix of the event subscription's durable name, and the name of the queue group
	// that serves requests. Default: "coordinator".
	Name string
	// Shards is the number of goroutines that decide and commit inputs; each saga belongs to one
	// shard. On two processors one shard is fastest: inputs that arrive during a commit share the next
	// commit, and more shards mean smaller commits. Default: one for every four processors, at least
	// one.
	Shards int
	// MaxBatch bounds the inputs that one shard decides and commits together. Default: 512.
	MaxBatch int
	// MaxLinger bounds how long a shard waits for more inputs before it commits. It waits only while
	// its batches are large; waiting saves commits under load. A negative value disables waiting.
	// Default: 8 ms.
	MaxLinger time.Duration
	// MaxWaiting bounds the inputs that wait in one shard's inbox. Each participant's answers may fill
	// half of the inbox; starts, requests and timers together may also fill half. If answers find no
	// room, no more answers are fetched from the bus. If starts find no room, they are refused with
	// resource_exhausted. Default: 4096.
	MaxWaiting int
	// MaxOpen bounds the sagas that have not ended; further starts are refused with
	// resource_exhausted. Sagas that wait for one participant may use at most as much as remains
	// free, so an unavailable participant blocks only starts that need it. Default: 1,000,000.
	MaxOpen int
	// MaxBacklog bounds the commands that the bus has not accepted yet. The commands for one
	// participant may use at most as much as remains free, or a sixteenth of MaxBacklog if that is
	// more. Beyond that, starts of sagas that need this participant are refused with
	// resource_exhausted, so that accepted sagas do not time out while they queue. Default: 4096.
	MaxBacklog int
	// MaxUnanswered bounds the unanswered commands of one participant on the bus; MaxUnansweredBytes
	// bounds their size. Further commands wait in the store, where they do not delay the commands of
	// other participants. Defaults: 20,000 and 64 MiB.
	MaxUnanswered, MaxUnansweredBytes int
	// MaxWatches bounds the open watch requests of one caller; ten times as many may be open in
	// total. Further requests are refused with resource_exhausted. Default: DefaultMaxWatches.
	MaxWatches int
	// CacheSize is the number of open sagas cached in memory, across all shards. Default: 65,536.
	CacheSize int
	// Retention is how long an ended saga is kept with its history; after that only a tombstone
	// remains. Default: 30 days.
	Retention time.Duration
	// TombstoneRetention is how long a saga's id is remembered after the saga ends. During that time,
	// repeating its start returns the outcome and does not run the saga twice. Default: 1 year.
	TombstoneRetention time.Duration
	// Secret is the key for hashing the message ids that the bus deduplicates by. Keep it across
	// restarts, or the bus does not recognize messages that are sent again. Default: random.
	Secret []byte
	// Definitions are registered before the coordinator does anything else.
	Definitions []*saga.Definition
	// Logger gets one line per transition. Default: slog.Default().
	Logger *slog.Logger
	// HideReasons replaces the reasons given by participants with transport.Redacted in
	// transitions, and therefore in logs and traces. Default: reasons are shown.
	HideReasons bool
	// Observer receives events, for metrics. Default: none.
	Observer Observer
	// Tracer records sagas in a tracing system. Default: none; the caller's trace context is passed
	// on unchanged.
	Tracer Tracer
	// StoreStatus returns the state of the store's files for the overview; it must be fast. Default: the
	// overview shows none.
	StoreStatus func() *api.StoreStatus
	// Version is the version shown in the overview. Default: none.
	Version string
	// NATS is the address of the bus shown in the overview, without passwords. Default: none.
	NATS string
	// Clock returns the time. Default: time.Now.
	Clock func() time.Time
	// Running returns the time of a monotonic clock that also runs while the machine sleeps. The
	// coordinator compares it with Clock to detect when the wall clock is set. It then retimes open
	// sagas and pauses retention for 24 h of monotonic time. By default, and with a shared store,
	// steps are not detected.
	Running func() time.Duration
	// Boot identifies the boot of the machine at which Running began to count. With Boot, steps are
	// also detected across restarts of the process. Default: unknown.
	Boot string
	// AcceptClock confirms that the clock is right: retention does not pause for a step that was
	// detected earlier.
	AcceptClock bool
}

// Validate returns every error in the configuration, joined.
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
	if c.Shards > MaxShards {
		bad("Shards", fmt.Sprintf("is more than %d; a few per processor are enough", MaxShards))
	}
	if c.Retention < 0 {
		bad("Retention", "is negative; give a duration, or 0 for the default")
	}
	if c.TombstoneRetention < 0 {
		bad("TombstoneRetention", "is negative; give a duration, or 0 for the default")
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
