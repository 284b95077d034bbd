package coordinatortest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// Start runs a coordinator with the given definitions until the test ends, and returns the bus on
// which it serves participants and clients. It returns once the coordinator accepts requests. Errors
// and warnings of the coordinator are written to the test's log. The test fails if the coordinator
// cannot start, or stops with an error.
func Start(t testing.TB, definitions ...*saga.Definition) *membus.Bus {
	t.Helper()
	bus := membus.New(membus.Options{})
	c, err := coordinator.New(coordinator.Config{
		Store: memstore.New(), Bus: bus, Definitions: definitions,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	stopped := until(t, "coordinator", c.Run)
	select {
	case <-c.Started():
	case <-stopped:
		t.FailNow() // until has reported the error
	}
	return bus
}

// Runner is a participant, with an inbox of any type.
type Runner interface {
	// Run answers commands from the bus until ctx ends.
	Run(ctx context.Context, bus transport.Bus) error
}

// Run runs participants on bus until the test ends, which waits for the commands in progress. The
// test fails if a participant is invalid, or stops with an error.
func Run(t testing.TB, bus transport.Bus, participants ...Runner) {
	t.Helper()
	for _, p := range participants {
		if c, ok := p.(interface{ Check() error }); ok {
			if err := c.Check(); err != nil {
				t.Fatal(err) // rather than to wait for a participant that does not run
			}
		}
		until(t, "participant", func(ctx context.Context) error { return p.Run(ctx, bus) })
	}
}

// until runs f on a new goroutine until the test ends, and then waits for it. stopped is closed when
// f has returned; if that is an error, the test has failed before.
func until(t testing.TB, name string, f func(context.Context) error) (stopped <-chan struct{}) {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return done
}
