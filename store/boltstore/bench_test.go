package boltstore_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// carry runs sagas of four steps (five changes each), with inFlight of them open at a time. Each
// call commits group changes of random open sagas, like a coordinator that combines answers. carry
// discards announcements as a relay does.
func carry(t testing.TB, s *boltstore.Store, sagas, inFlight, group int, id func(i int) contract.SagaID) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	now := storetest.Epoch
	var open []*machine.Instance
	started, ended := 0, 0
	for ended < sagas {
		var changes []store.Change
		for len(open) < inFlight && started < sagas && len(changes) < group {
			start := storetest.Start(id(started), storetest.Checkout, now)
			start.Instance.ClockOffset, start.Events[0].ClockOffset = 0, 0 // no clock offset is set, as on most machines
			changes = append(changes, start)
			open = append(open, nil)
			started++
		}
		fresh := len(open) - len(changes)
		random.Shuffle(fresh, func(i, j int) { open[i], open[j] = open[j], open[i] })
		for i := 0; i < fresh && len(changes) < group; i++ {
			changes = append(changes, storetest.Next(open[i], now))
		}
		moved := len(changes) - (len(open) - fresh)
		results, err := s.Commit(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open[:0], open[moved:fresh]...)
		for i := range changes {
			if results[i] != nil {
				t.Fatal(results[i])
			}
			if in := changes[i].Instance; in.Open() {
				open = append(open, in)
				continue
			}
			ended++
			if err := s.Discard(t.Context(), []outbox.ID{{Saga: changes[i].Instance.ID, Revision: changes[i].Instance.Revision, Index: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(20 * time.Millisecond)
	}
}

// BenchmarkSagas measures the time and the bytes written to disk for sagas of four steps.
func BenchmarkSagas(b *testing.B) {
	orders := func(i int) contract.SagaID { return contract.SagaID(fmt.Sprintf("order-%08d", i)) }
	random := func(i int) contract.SagaID {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		return contract.SagaID(fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()))
	}
	for _, c := range []struct {
		name            string
		inFlight, group int
		id              func(int) contract.SagaID
	}{
		{"one", 1, 1, orders},
		{"ordered/flight=512/group=100", 512, 100, orders},
		{"random/flight=512/group=100", 512, 100, random},
		{"ordered/flight=128/group=100", 128, 100, orders},
		{"ordered/flight=100/group=100", 100, 100, orders},
		{"ordered/flight=512/group=256", 512, 256, orders},
		{"ordered/flight=2048/group=500", 2048, 500, orders},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := boltstore.Open(filepath.Join(b.TempDir(), "store.db"), boltstore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			// The store must not be empty.
			carry(b, s, 2000, c.inFlight, c.group, func(i int) contract.SagaID { return c.id(1_000_000 + i) })
			before := s.Stats()
			b.ResetTimer()
			carry(b, s, b.N, c.inFlight, c.group, c.id)
			b.StopTimer()
			after := s.Stats()
			b.ReportMetric(float64(after.BytesLogged-before.BytesLogged)/float64(b.N), "B-logged/saga")
			b.ReportMetric(float64(after.Changes-before.Changes)/float64(after.Records-before.Records), "changes/write")
		})
	}
}
