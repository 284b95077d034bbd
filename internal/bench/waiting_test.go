package bench

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestWaitingTakesLittle: a caller who waits for its saga has a stack of 4 kB, some of
// them one of 8, and a few kilobytes beside it, the bus's included. With a hundred
// thousand of them that is the memory of the process. (client.TestShallow counts what
// is on the stack.)
func TestWaitingTakesLittle(t *testing.T) {
	const callers = 1000
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: server.ClientURL(), Provision: natsbus.Create})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	for method, ask := range map[string]func(*client.Client) (*transport.Status, error){
		transport.APIWait: func(c *client.Client) (*transport.Status, error) { return c.Wait(t.Context(), "order-42") },
		transport.APIRun: func(c *client.Client) (*transport.Status, error) {
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
			stack, heap := whileWaiting(callers, replies, func() {
				if s, err := ask(c); err != nil || s.Phase != contract.Completed {
					t.Errorf("%+v, %v", s, err)
				}
			})
			if t.Logf("%d bytes of stack, %d of heap for each", stack, heap); stack > 7<<10 || heap > 5632 {
				t.Errorf("a caller who waits takes %d bytes of stack and %d of heap", stack, heap)
			}
		})
	}
}

// whileWaiting returns how many bytes of stack and of heap a caller takes while all wait
// for their replies.
func whileWaiting(callers int, replies <-chan func(*transport.Envelope), call func()) (stack, heap int) {
	answer := &transport.Envelope{Data: []byte(`{"phase":"completed"}`)}
	var waiting sync.WaitGroup
	waiting.Go(call) // what is done once in a process counts for none of them
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

// shallow starts goroutines with little on their stacks, until stop. Go begins each
// goroutine with a stack as large as the average that it has met in the last collection,
// and so what other tests left would count: these make the average small.
func shallow(n int) (stop func()) {
	end := make(chan struct{})
	var idle sync.WaitGroup
	for range n {
		idle.Go(func() { <-end })
	}
	return func() { close(end); idle.Wait() }
}

// parked waits until no goroutine has anything to do: a caller whose request has been sent with
// that of another one, and who was not on a processor since, is still where it sends.
func parked() {
	runnable := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	for metrics.Read(runnable); runnable[0].Value.Uint64() > 0; metrics.Read(runnable) {
		runtime.Gosched()
	}
}

// inUse is memory in use once stacks have shrunk to what is needed of them.
func inUse() (m runtime.MemStats) {
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
