package boltstore_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestTimerThatIsPutOff checks that a timer which is postponed by little keeps its key until the
// key comes due, and that one which is postponed by much gets a new key at once.
func TestTimerThatIsPutOff(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	made := func(c store.Change) *machine.Instance {
		commit(t, s, c)
		return c.Instance
	}
	keys := func(what string, want ...time.Time) {
		t.Helper()
		if got := s.TimerTimes(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: keys at %s, want %s", what, got, want)
		}
	}
	due := func(now time.Time, want ...contract.SagaID) (next time.Time) {
		t.Helper()
		got, next, err := s.Due(t.Context(), now, 10)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("due at %s: %s (%v), want %s", now, got, err, want)
		}
		return next
	}
	in := made(storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
	first := in.Wake()
	in = made(storetest.Next(in, storetest.Epoch.Add(time.Second)))
	second := in.Wake()
	keys("put off by a second", first)
	if next := due(first); next.After(second) || next.IsZero() {
		t.Errorf("ask again at %s, it is due at %s", next, second)
	}
	keys("the first has come due", second)
	if next := due(second.Add(-1)); !next.Equal(second) {
		t.Errorf("ask again at %s, it is due at %s", next, second)
	}
	due(second, "order-1")
	in = made(storetest.Next(in, second.Add(-time.Second))) // due in a second, then postponed by 30 seconds
	keys("put off by much", in.Wake())
	for in.Open() {
		in = made(storetest.Next(in, in.Updated.Add(time.Second)))
	}
	keys("at its end")

	c := storetest.Start("order-2", storetest.Checkout, storetest.Epoch)
	later := c.Instance.Steps[0].Do.Data()
	later.Due = storetest.Epoch.Add(time.Hour)
	var err error
	if c.Instance.Steps[0].Do, err = machine.NewSide(contract.DirectionDo, later); err != nil {
		t.Fatal(err)
	}
	in = made(storetest.Next(made(c), storetest.Epoch.Add(time.Second)))
	keys("brought forward", in.Wake())
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
