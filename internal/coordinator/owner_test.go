package coordinator_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport/membus"
)

// TestMovedSinceSure checks that the keeper of the claim knows which sagas were accepted or changed
// since its last confirmation, so that a replaced owner can list them (I11). Times cannot show
// that: inputs that waited for the disk carry older times, and the clock may have been set.
func TestMovedSinceSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fixtureWithout(t, membus.Options{})
		defer w.close()
		began := time.Now()
		keeper := ownership.New(ownership.Config{
			Registry: &registry{s: newStage()}, Store: w.store, Me: ownership.Claim{Incarnation: "one"},
			Clock: func() time.Duration { return time.Since(began) }, Now: time.Now,
		})
		w.start(coordinator.Config{Owner: keeper})
		if moved := keeper.UnconfirmedChanges(); len(moved) != 0 {
			t.Errorf("before anything has moved: %q", moved)
		}
		if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("order-1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if moved := keeper.UnconfirmedChanges(); !slices.Equal(moved, []string{"order-1"}) {
			t.Errorf("after a start: %q", moved)
		}
		time.Sleep(ownership.DefaultInterval + time.Second) // virtual
		synctest.Wait()
		if moved := keeper.UnconfirmedChanges(); len(moved) != 0 {
			t.Errorf("after a confirmation: %q", moved)
		}
	})
}
