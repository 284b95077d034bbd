//go:build linux && lab

package overload

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

const mebi = 1 << 20

// memory is what the process holds, in MiB.
type memory struct {
	heap float64 // live objects and those not yet collected
	anon float64 // resident memory that is not a mapped file
	idle float64 // resident pages of the heap that nothing is in: a part of anon
}

func (m memory) String() string {
	return fmt.Sprintf("heap %.0f MiB, resident %.0f MiB with %.0f MiB idle", m.heap, m.anon, m.idle)
}

// resident reads the process's own memory. Mapped files do not count: the system
// takes them back when it needs room.
func resident() memory {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(sample)
	m := memory{heap: float64(sample[0].Value.Uint64()) / mebi, idle: float64(sample[1].Value.Uint64()) / mebi}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err) // Linux has it
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.Atoi(fields[1])
	shared, _ := strconv.Atoi(fields[2])
	m.anon = float64((pages-shared)*os.Getpagesize()) / mebi
	return m
}

// peaks samples memory until stop.
type peaks struct {
	mu    sync.Mutex
	most  memory
	still time.Duration // the longest between two samples, which a busy machine explains, or one that stood still
	quit  chan struct{}
	done  sync.WaitGroup
}

func watchMemory(t *testing.T) *peaks {
	p := &peaks{quit: make(chan struct{})}
	p.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; {
			now := resident()
			p.mu.Lock()
			p.still, last = max(p.still, time.Since(last)), time.Now()
			p.most.heap, p.most.anon, p.most.idle = max(p.most.heap, now.heap), max(p.most.anon, now.anon), max(p.most.idle, now.idle)
			p.mu.Unlock()
			select {
			case <-tick.C:
			case <-p.quit:
				return
			}
		}
	})
	t.Cleanup(func() { close(p.quit); p.done.Wait() })
	return p
}

// standstill is the longest between two samples since the last call. Time in which
// nobody in this process ran is not the product's.
func (p *peaks) standstill() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	still := p.still
	p.still = 0
	return still.Round(time.Millisecond)
}

// take returns the peaks since the last call.
func (p *peaks) take() memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.most
	p.most = memory{}
	return most
}

// census is what exists at a quiet point.
type census struct {
	memory
	goroutines int
	files      int             // open file descriptors
	streams    int             // on the bus
	consumers  int             // on the bus
	queued     int             // messages in the work queues
	full       boltstore.Space // of the store, with the round's sagas in it
	quiet      boltstore.Space // of the store, when all are forgotten
	slowest    time.Duration   // from the start of a saga to its end
}

func (c census) String() string {
	return fmt.Sprintf("%s, %d goroutines, %d files, %d streams, %d consumers, %d messages queued; the store's file is %.1f MiB, reached to %.1f, held %.1f and now %.2f; the slowest saga took %s",
		c.memory, c.goroutines, c.files, c.streams, c.consumers, c.queued, inMebi(c.quiet.File), inMebi(c.quiet.Reached),
		inMebi(c.full.Used), inMebi(c.quiet.Used), c.slowest.Round(time.Millisecond))
}

func inMebi(bytes int64) float64 { return float64(bytes) / mebi }

// count takes a census: all sagas have ended and are forgotten. wait waits until
// the work queues are empty: an acknowledgement that was lost with a connection
// leaves its message there until AckWait has passed.
func (s *system) count(wait bool) census {
	s.t.Helper()
	// Looking at every saga of a round and removing it takes the longer the more there
	// were: a fast machine makes half a million in five minutes.
	ctx, cancel := context.WithTimeout(context.Background(), 10*limit)
	defer cancel()
	s.drain()
	s.forget(time.Now().Add(time.Hour))
	slowest, full := s.slowest(ctx), s.space(ctx)
	for later := time.Now().Add(time.Hour); ; {
		removed, dropped, err := s.coord.store.Expire(ctx, later, later, 1000)
		if err != nil {
			s.t.Fatal(err)
		}
		if removed+dropped == 0 {
			break
		}
	}
	var c census
	hurry := time.Now().Add(time.Second)
	eventually(s.t, "the work queues are empty", func() bool {
		c = s.onBus(ctx)
		return c.queued == 0 || !wait && c.queued > 0 && time.Now().After(hurry)
	})
	runtime.GC()
	// What the first one finalized; and pages that nothing is in go back to the
	// system now: the runtime gives them back in its own time, minutes after a busy
	// round, so that they say nothing about what is kept.
	debug.FreeOSMemory()
	c.memory, c.goroutines, c.slowest = resident(), runtime.NumGoroutine(), slowest
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	c.files = len(files)
	c.full, c.quiet = full, s.space(ctx)
	return c
}

// space is how the store's file is filled.
func (s *system) space(ctx context.Context) boltstore.Space {
	s.t.Helper()
	space, err := s.coord.store.Space(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return space
}

// slowest is how long the longest of the kept sagas took.
func (s *system) slowest(ctx context.Context) (longest time.Duration) {
	s.t.Helper()
	for cursor := ""; ; {
		page, next, err := s.coord.store.List(ctx, store.Filter{}, store.Page{Limit: store.MaxPage, Cursor: cursor})
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range page {
			longest = max(longest, page[i].Ended.Sub(page[i].Started))
		}
		if cursor = next; cursor == "" {
			return longest
		}
	}
}

// onBus counts what the server holds.
func (s *system) onBus(ctx context.Context) (c census) {
	js, err := jetstream.New(s.calls.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		c.streams++
		c.consumers += info.State.Consumers
		for _, queue := range []transport.Stream{transport.Commands, transport.Events} {
			if info.Config.Name == s.calls.StreamName(queue) {
				c.queued += int(info.State.Msgs)
			}
		}
	}
	if list.Err() != nil {
		c.queued = -1 // not known
	}
	return c
}

// doings is everything that a part counts when it does something.
type doings struct {
	calls, writes               uint64 // of the store
	published, received, buried int64  // by every bus
	last                        uint64 // sequence numbers of all streams, added up
	transitions, refused        uint64
}

// doings adds up what has been done so far.
func (s *system) doings() (d doings) {
	db := s.coord.store.Stats()
	d.calls, d.writes, d.transitions, d.refused = db.Calls, db.Transactions, db.Changes, db.Refused
	for _, bus := range []*natsbus.Bus{s.coord.bus, s.calls, s.running["north"].bus, s.running["south"].bus} {
		n := bus.Stats()
		d.published += n.Published + n.PublishFailed
		d.received += n.Received + n.Stale
		d.buried += n.DeadLettered + n.DeadLetterFailed
	}
	js, err := jetstream.New(s.calls.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	list := js.ListStreams(s.t.Context())
	for info := range list.Info() {
		d.last += info.State.LastSeq
	}
	if list.Err() != nil {
		s.t.Fatal(list.Err())
	}
	return d
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
