package participant_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a participant on an in-memory bus. Its handler is set by the test.
type counting struct {
	*participant.Participant[*participant.MemoryTx]
	bus     *membus.Bus
	handler func(ctx context.Context, n int) (string, error)
	effects sync.Map // *atomic.Int64 by n
}

var count = contract.NewCommand[int, string]("counter", "count")

func newCounting(faults membus.Options, opts ...participant.Option) *counting {
	c := &counting{bus: membus.New(faults)}
	c.handler = func(_ context.Context, n int) (string, error) { return fmt.Sprint("counted ", n), nil }
	c.Participant = participant.New("counter", new(participant.MemoryInbox), opts...)
	participant.Handle(c.Participant, count, func(ctx context.Context, tx *participant.MemoryTx, n int) (string, error) {
		tx.OnCommit(func() {
			calls, _ := c.effects.LoadOrStore(n, new(atomic.Int64))
			calls.(*atomic.Int64).Add(1)
		})
		return c.handler(ctx, n)
	})
	return c
}

// effect returns how often n was counted.
func (c *counting) effect(n int) int {
	calls, ok := c.effects.Load(n)
	if !ok {
		return 0
	}
	return int(calls.(*atomic.Int64).Load())
}

// send publishes the command to count n.
func (c *counting) send(t *testing.T, n, attempt int) {
	t.Helper()
	key := contract.Key{Saga: contract.SagaID(fmt.Sprint("saga-", n)), Birth: 7, Step: "count", Direction: contract.DirectionDo}
	if errs := c.bus.Publish(t.Context(), []transport.Envelope{{
		Subject: transport.Subjects{}.On(c.bus).Command("counter", "count"), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
		Direction: key.Direction, Attempt: attempt, ReplyTo: transport.Subjects{}.On(c.bus).Event("counter", key, attempt), Data: fmt.Append(nil, n),
	}}); errs != nil {
		t.Fatal(errs)
	}
}

// start runs the participant. stop ends it and returns the result of Run.
func (c *counting) start(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, c.bus) }()
	return func() error {
		cancel()
		return <-done
	}
}

// answers returns the answers on the bus.
func (c *counting) answers(t *testing.T) (answers []*transport.Envelope) {
	t.Helper()
	source, err := c.bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, d := range source.(*membus.Source).TryReceive(10_000) {
		answers = append(answers, d.Envelope())
		d.Ack()
	}
	return answers
}

func (c *counting) wantAnswers(t *testing.T, want int, types ...string) {
	t.Helper()
	answers := c.answers(t)
	if len(answers) != want {
		t.Fatalf("there are %d answers, expected %d", len(answers), want)
	}
	for _, a := range answers {
		if !slices.Contains(types, a.Type) {
			t.Fatalf("answer %s: %s %q, expected %v", a.ID, a.Type, a.Reason, types)
		}
	}
}

// TestPrefixOfTheBus: a participant without Prefix uses that of the bus on which it runs.
func TestPrefixOfTheBus(t *testing.T) {
	for _, opts := range [][]participant.Option{nil, {participant.Prefix("shop")}} {
		synctest.Test(t, func(t *testing.T) {
			c := newCounting(membus.Options{Prefix: "shop"}, opts...)
			stop := c.start(t)
			c.send(t, 1, 1)
			synctest.Wait()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			c.wantAnswers(t, 1, transport.TypeCompleted)
		})
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{})
		stop := c.start(t)
		for n := range 500 {
			c.send(t, n, 1)
		}
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 500, transport.TypeCompleted)
		// Everything was acknowledged, so nothing is redelivered.
		stop = c.start(t)
		time.Sleep(time.Hour)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 0)
	})
}

// TestFaults: the bus loses, repeats, delays and reorders messages, handlers fail, and the process
// is restarted repeatedly. Each number is counted once (I5), and in the end all commands are
// answered (I2).
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := 0
		c := newCounting(membus.Options{Duplicates: -1, Fault: func(_ transport.Stream, _ *transport.Envelope) membus.Fate {
			seed++
			return membus.Fate{
				Drop: seed%5 == 0, Duplicate: seed % 3, Reorder: seed%7 == 0,
				Delay: time.Duration(seed%11) * time.Second,
			}
		}}, participant.AckWait(5*time.Second), participant.GracePeriod(time.Second))
		var calls atomic.Int64
		c.handler = func(ctx context.Context, n int) (string, error) {
			switch calls.Add(1) % 6 {
			case 0:
				return "", errors.New("the database is away")
			case 1:
				panic("a mistake")
			case 2:
				select {
				case <-time.After(7 * time.Second):
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			return fmt.Sprint("counted ", n), nil
		}
		open := map[contract.SagaID]int{}
		for n := range 60 {
			open[contract.SagaID(fmt.Sprint("saga-", n))] = n
		}
		for attempt := 1; len(open) > 0; attempt++ {
			if attempt > 200 {
				t.Fatalf("after %d attempts %d are not answered", attempt, len(open))
			}
			stop := c.start(t)
			for _, n := range open {
				c.send(t, n, attempt)
			}
			time.Sleep(10 * time.Second)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for _, a := range c.answers(t) {
				if a.Type == transport.TypeCompleted {
					delete(open, a.Saga)
				}
			}
		}
		for n := range 60 {
			if got := c.effect(n); got != 1 {
				t.Errorf("%d was counted %d times", n, got)
			}
		}
	})
}

// TestHeartbeat: a handler may take longer than AckWait. Its command is not redelivered meanwhile.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.AckWait(10*time.Second), participant.Concurrency(1))
		var calls atomic.Int64
		c.handler = func(context.Context, int) (string, error) {
			calls.Add(1)
			time.Sleep(5 * time.Minute)
			return "", nil
		}
		stop := c.start(t)
		c.send(t, 1, 1)
		c.send(t, 2, 1) // received, but waits for the first one
		time.Sleep(11 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if calls.Load() != 2 {
			t.Errorf("the handler was called %d times, expected 2", calls.Load())
		}
		c.wantAnswers(t, 2, transport.TypeCompleted)
	})
}

func TestConcurrencyBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.Concurrency(3))
		var now, most atomic.Int64
		c.handler = func(context.Context, int) (string, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return "", nil
		}
		stop := c.start(t)
		for n := range 30 {
			c.send(t, n, 1)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 3 {
			t.Errorf("%d handlers ran at once, expected 3", most.Load())
		}
		c.wantAnswers(t, 30, transport.TypeCompleted)
	})
}

// TestShutdown: running handlers finish, and their answers are sent. Commands that have not begun
// are returned to the bus at once.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.Concurrency(2), participant.GracePeriod(10*time.Second))
		c.handler = func(context.Context, int) (string, error) {
			time.Sleep(3 * time.Second)
			return "", nil
		}
		stop := c.start(t)
		for n := range 10 {
			c.send(t, n, 1)
		}
		time.Sleep(time.Second)
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Run returned after %v, expected 2s: when the handlers at work were done", took)
		}
		c.wantAnswers(t, 2, transport.TypeCompleted)
		stop = c.start(t)
		time.Sleep(12*time.Second + time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 8, transport.TypeCompleted)
	})
}

// TestStoppingGivesBack: commands that wait for a handler are returned as soon as the process is
// told to stop. They do not wait until that handler finishes (I9).
func TestStoppingGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.Concurrency(2), participant.GracePeriod(10*time.Second))
		slow := true
		c.handler = func(context.Context, int) (string, error) {
			if slow {
				time.Sleep(5 * time.Second) // virtual: a slow handler
			}
			return "", nil
		}
		for n := range 4 {
			c.send(t, n, 1)
		}
		stop := c.start(t)
		time.Sleep(time.Second) // virtual: two handlers run, two commands wait
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		synctest.Wait()
		slow = false
		stopOther := c.start(t)
		time.Sleep(time.Second) // virtual: the first two handlers still run
		c.wantAnswers(t, 2, transport.TypeCompleted)
		if err := errors.Join(<-stopped, stopOther()); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 2, transport.TypeCompleted)
	})
}

// TestHandlerEndsItsGoroutine: a handler that ends its goroutine, as t.Fatal does, does not occupy
// a slot for ever.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.Concurrency(1), participant.AckWait(time.Second))
		ends := true
		c.handler = func(context.Context, int) (string, error) {
			if ends {
				ends = false
				runtime.Goexit()
			}
			return "", nil
		}
		stop := c.start(t)
		c.send(t, 1, 1)
		synctest.Wait()
		c.send(t, 2, 1)
		time.Sleep(2 * time.Second) // virtual: the first command is redelivered
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 2, transport.TypeCompleted)
	})
}

// TestGracePeriod: a handler that takes too long is cancelled. Its command is not answered and is
// redelivered.
func TestGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{}, participant.GracePeriod(4*time.Second))
		c.handler = func(ctx context.Context, _ int) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		stop := c.start(t)
		c.send(t, 1, 1)
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("Run returned after %v, expected 4s", took)
		}
		c.wantAnswers(t, 0)
		c.handler = func(context.Context, int) (string, error) { return "", nil }
		stop = c.start(t)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswers(t, 1, transport.TypeCompleted)
	})
}

// TestBusRefuses: answers wait while the bus refuses all of them. A single refused answer does not
// delay the others.
func TestBusRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		c := newCounting(membus.Options{Fault: func(stream transport.Stream, e *transport.Envelope) (fate membus.Fate) {
			if stream == transport.StreamEvents && (away.Load() || e.Saga == "saga-7" && e.Attempt == 1) {
				fate.Refuse = transport.ErrFull
			}
			return fate
		}})
		away.Store(true)
		stop := c.start(t)
		for n := range 40 {
			c.send(t, n, 1)
		}
		time.Sleep(time.Minute)
		c.wantAnswers(t, 0)
		away.Store(false)
		time.Sleep(time.Minute)
		c.wantAnswers(t, 39, transport.TypeCompleted)
		c.send(t, 60, 1)
		synctest.Wait() // without any delay
		c.wantAnswers(t, 1, transport.TypeCompleted)
		c.send(t, 61, 1)
		synctest.Wait()
		c.wantAnswers(t, 1, transport.TypeCompleted)
		c.send(t, 7, 2)
		time.Sleep(time.Minute)
		c.wantAnswers(t, 1, transport.TypeCompleted)
		away.Store(true)
		c.send(t, 50, 1)
		time.Sleep(time.Minute)
		if err := stop(); err != nil { // Run returns after the grace period
			t.Fatal(err)
		}
		for n := range 40 {
			if got := c.effect(n); got != 1 {
				t.Errorf("%d was counted %d times", n, got)
			}
		}
	})
}

// TestBusComesBack: two seconds after an unreachable bus has returned, however long it was
// unreachable, waiting answers are published and commands are served again.
func TestBusComesBack(t *testing.T) {
	for away := time.Second; away < 200*time.Second; away += 7 * time.Second {
		synctest.Test(t, func(t *testing.T) {
			back := time.Now().Add(away)
			c := newCounting(membus.Options{Fault: func(stream transport.Stream, _ *transport.Envelope) (fate membus.Fate) {
				if stream == transport.StreamEvents && time.Now().Before(back) {
					fate.Refuse = transport.ErrFull
				}
				return fate
			}}, participant.Concurrency(2))
			stop := c.start(t)
			for n := range 200 {
				c.send(t, n, 1)
			}
			time.Sleep(away + 2*time.Second)   // virtual: the bus returns, and two seconds pass
			if n := len(c.answers(t)); n < 3 { // more than the number of slots
				t.Errorf("%d answers are out two seconds after %s", n, away)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestNeverTaken: answers that the bus never accepts do not occupy slots for ever.
func TestNeverTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{Fault: func(stream transport.Stream, e *transport.Envelope) (fate membus.Fate) {
			if stream == transport.StreamEvents && e.Saga != "saga-9" {
				fate.Refuse = errors.New("no")
			}
			return fate
		}}, participant.Concurrency(1))
		stop := c.start(t)
		for n := range 10 {
			c.send(t, n, 1)
		}
		time.Sleep(5 * time.Minute)
		c.wantAnswers(t, 1, transport.TypeCompleted)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTooLargeForTheBus: if an answer is too large for the bus, a failure with that reason is sent
// instead.
func TestTooLargeForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{MaxPayload: 1000})
		c.handler = func(context.Context, int) (string, error) { return strings.Repeat("x", 2000), nil }
		stop := c.start(t)
		c.send(t, 1, 1)
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		answers := c.answers(t)
		if len(answers) != 1 || answers[0].Type != transport.TypeFailed || !answers[0].Final || !strings.Contains(answers[0].Reason, "larger than the bus") {
			t.Errorf("answers %+v", answers)
		}
	})
}

// TestDeadLetters: a message that cannot be answered is dead-lettered with the reason, and the next
// one is served (I9).
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{})
		stop := c.start(t)
		key := contract.Key{Saga: "saga-1", Birth: 7, Step: "count", Direction: contract.DirectionDo}
		if errs := c.bus.Publish(t.Context(), []transport.Envelope{{
			Subject: transport.Subjects{}.On(c.bus).Command("counter", "count"), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
			Direction: key.Direction, Attempt: 1, ReplyTo: "saga.command.counter.count",
		}}); errs != nil {
			t.Fatal(errs)
		}
		c.send(t, 1, 1)
		synctest.Wait()
		letters, err := c.bus.ListDeadLetters(t.Context(), 0, 10)
		if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, "event subject") {
			t.Errorf("dead letters %+v, %v", letters, err)
		}
		c.wantAnswers(t, 1, transport.TypeCompleted)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRunEnds(t *testing.T) {
	t.Run("unfit", func(t *testing.T) {
		p := participant.New("counter", new(participant.MemoryInbox))
		if err := p.Run(t.Context(), membus.New(membus.Options{})); err == nil || !strings.Contains(err.Error(), "no handlers") {
			t.Error(err)
		}
	})
	t.Run("bus closed before", func(t *testing.T) {
		c := newCounting(membus.Options{})
		c.bus.Close()
		if err := c.Run(t.Context(), c.bus); !errors.Is(err, transport.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("bus closed meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCounting(membus.Options{})
			done := make(chan error, 1)
			go func() { done <- c.Run(t.Context(), c.bus) }()
			synctest.Wait()
			c.bus.Close()
			if err := <-done; !errors.Is(err, transport.ErrClosed) {
				t.Error(err)
			}
		})
	})
	t.Run("context ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newCounting(membus.Options{})
		if err := c.Run(ctx, c.bus); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestRetention: every hour, Run removes entries older than Retention.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(membus.Options{Duplicates: -1}, participant.Retention(24*time.Hour))
		stop := c.start(t)
		c.send(t, 1, 1)
		time.Sleep(23 * time.Hour)
		c.send(t, 1, 2)
		synctest.Wait()
		if got := c.effect(1); got != 1 {
			t.Errorf("within the retention: counted %d times", got)
		}
		time.Sleep(3 * time.Hour)
		c.send(t, 1, 3)
		synctest.Wait()
		if got := c.effect(1); got != 2 {
			t.Errorf("after the retention: counted %d times, expected 2: the entry should be gone", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
