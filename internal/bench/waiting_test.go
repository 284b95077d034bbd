package bench

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestWaitingTakesLittle checks the memory of a caller that waits for its saga. It has a stack of 4
// kB, sometimes 8 kB, and a few kilobytes of heap, including the bus's. A hundred thousand callers
// make up most of the process's memory. On a busy machine many callers happen to send for others,
// which needs the larger stack, so the best of several rounds counts.
func TestWaitingTakesLittle(t *testing.T) {
	const callers = 1000
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	for method, ask := range map[string]func(*client.Client) (*api.Saga, error){
		api.MethodWait: func(c *client.Client) (*api.Saga, error) { return c.Wait(t.Context(), "order-42") },
		api.MethodRun: func(c *client.Client) (*api.Saga, error) {
			return c.Run(t.Context(), checkout, input(1), client.ID("order-42"))
		},
	} {
		t.Run(method, func(t *testing.T) {
			replies := make(chan func(*transport.Envelope), callers)
			stop, err := bus.Respond("saga.api."+method, "coordinator", func(_ *transport.Envelope, reply func(*transport.Envelope)) { replies <- reply })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			c := client.New(bus)
			few := false
			for round := 0; round < 8 && !few; round++ {
				stack, heap := whileWaiting(callers, replies, func() {
					if s, err := ask(c); err != nil || s.Phase != contract.PhaseCompleted {
						t.Errorf("%+v, %v", s, err)
					}
				})
				t.Logf("%d bytes of stack, %d of heap for each", stack, heap)
				few = stack <= 7<<10 && heap <= 5632
			}
			if !few {
				t.Error("a caller who waits takes more than 7 KiB of stack or 5.5 KiB of heap in every round")
			}
		})
	}
}

// whileWaiting returns the bytes of stack and heap per caller while all wait for their replies.
func whileWaiting(callers int, replies <-chan func(*transport.Envelope), call func()) (stack, heap int) {
	answer := &transport.Envelope{Data: []byte(`{"saga":{"phase":"completed"}}`)}
	var waiting sync.WaitGroup
	waiting.Go(call) // the first call warms up one-time allocations, which count for no caller
	(<-replies)(answer)
	waiting.Wait()
	defer shallow(8 * callers)()
	before := inUse()
	held := make([]func(*transport.Envelope), callers)
	for range callers {
		waiting.Go(call)
	}
	for i := range held {
		held[i] = <-replies
	}
	parked()
	after := inUse()
	for _, reply := range held {
		reply(answer)
	}
	waiting.Wait()
	return int(after.StackInuse-before.StackInuse) / callers, int(after.HeapAlloc-before.HeapAlloc) / callers
}

// shallow starts goroutines with little on their stacks, until stop. The runtime gives a new
// goroutine a stack of the average size found in the last collection, so goroutines left by other
// tests would count. These goroutines make the average small.
func shallow(n int) (stop func()) {
	end := make(chan struct{})
	var idle sync.WaitGroup
	for range n {
		idle.Go(func() { <-end })
	}
	return func() { close(end); idle.Wait() }
}

// parked waits until no goroutine is runnable. A caller whose request was sent together with that
// of another caller may otherwise still be in its send call.
func parked() {
	runnable := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	for metrics.Read(runnable); runnable[0].Value.Uint64() > 0; metrics.Read(runnable) {
		runtime.Gosched()
	}
}

// inUse returns the memory in use after stacks have shrunk to what they need.
func inUse() (m runtime.MemStats) {
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
