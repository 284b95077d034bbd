package coordinator_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport/membus"
)

// A start that the store refuses because its disk is full is refused as a limit is, and can be
// repeated. It does not break the coordinator, and sagas in progress continue.
func TestFullDiskRefusesStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		var seen refusals
		w.restart(coordinator.Config{Observer: &seen})
		var full atomic.Bool
		var fills sync.Once
		w.store.Hooks.Before = func(changes []store.Change) ([]error, error) {
			errs := make([]error, len(changes))
			for i := range changes {
				if changes[i].Expected == 0 && full.Load() {
					errs[i] = store.ErrFull
				}
			}
			return errs, nil
		}
		w.when(func(action string, _ int) error {
			if action == "reserve" {
				fills.Do(func() { full.Store(true) })
			}
			return nil
		})
		w.expect(w.run("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")

		_, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("s2"))
		var refused *client.Error
		if !errors.Is(err, client.ErrOverloaded) || !errors.As(err, &refused) || refused.RetryAfter < time.Second ||
			!strings.Contains(refused.Reason, "free space on the disk of the data directory") {
			t.Fatalf("a start while the disk is full: %v", err)
		}
		if !maps.Equal(seen.by, map[string]int{coordinator.LimitDisk: 1}) {
			t.Errorf("one start was refused, and it counts %v", seen.by)
		}
		time.AfterFunc(time.Minute, func() { full.Store(false) }) // virtual
		retries := client.New(w.bus, client.RetryWhenOverloaded())
		if _, err := retries.Start(t.Context(), checkout, order{"tea"}, client.ID("s2")); err != nil {
			t.Errorf("the start is repeated until there is room: %v", err)
		}
		if full.Load() {
			t.Error("a saga started although the disk was full")
		}
	})
}
