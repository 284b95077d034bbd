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

// memory holds the memory use of the process, in MiB.
type memory struct {
	heap float64 // live objects and those not yet collected
	anon float64 // resident memory that is not a mapped file
	idle float64 // resident heap pages that hold no objects; part of anon
}

func (m memory) String() string {
	return fmt.Sprintf("heap %.0f MiB, resident %.0f MiB with %.0f MiB idle", m.heap, m.anon, m.idle)
}

// resident reads the process's own memory use. Mapped files do not count, because the kernel can
// reclaim them.
func resident() memory {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(sample)
	m := memory{heap: float64(sample[0].Value.Uint64()) / mebi, idle: float64(sample[1].Value.Uint64()) / mebi}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err) // cannot happen on Linux
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.Atoi(fields[1])
	shared, _ := strconv.Atoi(fields[2])
	m.anon = float64((pages-shared)*os.Getpagesize()) / mebi
	return m
}

// peaks samples memory until it is stopped, and keeps the largest values.
type peaks struct {
	mu    sync.Mutex
	most  memory
	still time.Duration // the longest time between two samples; long if the machine was busy or suspended
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

// standstill returns the longest time between two samples since the last call. No goroutine of the
// process ran in that time, so the product is not to blame for it.
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

// census counts the resources in use at a quiet point.
type census struct {
	memory
	goroutines int
	files      int             // open file descriptors
	streams    int             // streams of the bus
	consumers  int             // consumers of the bus
	queued     int             // messages in the work queues
	full       boltstore.Space // space before the round's sagas are removed
	quiet      boltstore.Space // space after they are removed
	slowest    time.Duration   // longest duration of a saga
}

func (c census) String() string {
	return fmt.Sprintf("%s, %d goroutines, %d files, %d streams, %d consumers, %d messages queued; the store's file is %.1f MiB, reached to %.1f, held %.1f and now %.2f; the slowest saga took %s",
		c.memory, c.goroutines, c.files, c.streams, c.consumers, c.queued, inMebi(c.quiet.File), inMebi(c.quiet.Reached),
		inMebi(c.full.Used), inMebi(c.quiet.Used), c.slowest.Round(time.Millisecond))
}

func inMebi(bytes int64) float64 { return float64(bytes) / mebi }

// count takes a census after all sagas have ended and been removed. If wait is set it first waits
// until the work queues are empty: when an acknowledgement was lost with its connection, the
// message stays in the queue until AckWait has passed.
func (s *system) count(wait bool) census {
	s.t.Helper()
	// The time to check and remove the sagas of a round grows with their number: a fast machine
	// runs half a million in five minutes.
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
	// FreeOSMemory also collects what the first collection finalized, and returns free pages to the
	// system now. Otherwise the runtime returns them minutes after a busy round, and resident
	// memory would not show what is in use.
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

// space returns how the space in the store's file is used.
func (s *system) space(ctx context.Context) boltstore.Space {
	s.t.Helper()
	if err := s.coord.store.Checkpoint(ctx); err != nil { // what was removed is in the file until then
		s.t.Fatal(err)
	}
	space, err := s.coord.store.Space(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return space
}

// slowest returns the longest duration of the kept sagas.
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

// onBus counts the streams, consumers and queued messages of the server.
func (s *system) onBus(ctx context.Context) (c census) {
	js, err := jetstream.New(s.calls.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		c.streams++
		c.consumers += info.State.Consumers
		for _, queue := range []transport.Stream{transport.StreamCommands, transport.StreamEvents} {
			if info.Config.Name == s.calls.StreamName(queue) {
				c.queued += int(info.State.Msgs)
			}
		}
	}
	if list.Err() != nil {
		c.queued = -1 // unknown
	}
	return c
}

// doings counts the operations of all components.
type doings struct {
	calls, writes               uint64 // store operations
	published, received, buried int64  // sums over all bus connections
	last                        uint64 // sum of the sequence numbers of all streams
	transitions, refused        uint64
}

// doings returns the operations so far.
func (s *system) doings() (d doings) {
	db := s.coord.store.Stats()
	d.calls, d.writes, d.transitions, d.refused = db.Calls, db.Records, db.Changes, db.Refused
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

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
