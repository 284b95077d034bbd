package participant_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
)

// TestMemoryInbox runs the conformance suite (I5).
func TestMemoryInbox(t *testing.T) {
	inbox := new(participant.MemoryInbox)
	var counters sync.Map
	var mu sync.Mutex
	participanttest.RunInbox(t, participanttest.Inbox[*participant.MemoryTx]{
		Inbox: inbox,
		Add: func(_ context.Context, tx *participant.MemoryTx, counter string) error {
			tx.OnCommit(func() {
				mu.Lock()
				defer mu.Unlock()
				n, _ := counters.LoadOrStore(counter, 0)
				counters.Store(counter, n.(int)+1)
			})
			return nil
		},
		Count: func(_ testing.TB, counter string) int {
			n, _ := counters.LoadOrStore(counter, 0)
			return n.(int)
		},
	})
}

// TestMemoryInboxWaits: the commands of a step are handled one after the other, and each waiting
// command gets its turn (I5).
func TestMemoryInboxWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inbox participant.MemoryInbox
		key := participant.StepKey{Participant: "depot", Saga: "order-42", Step: "reserve"}
		release := make(chan struct{})
		var entered, left atomic.Int32
		for range 3 {
			go func() {
				err := inbox.Update(t.Context(), key, func(_ context.Context, _ *participant.MemoryTx, e participant.Entry) (participant.Entry, bool, error) {
					entered.Add(1)
					<-release
					return e, true, nil
				})
				if err != nil {
					t.Error(err)
				}
				left.Add(1)
			}()
		}
		for n := range int32(3) {
			synctest.Wait()
			if entered.Load() != n+1 || left.Load() != n {
				t.Fatalf("%d have entered and %d have left, expected %d and %d", entered.Load(), left.Load(), n+1, n)
			}
			release <- struct{}{}
		}
		synctest.Wait()
		if left.Load() != 3 {
			t.Errorf("%d of 3 have left", left.Load())
		}
	})
}

// TestMemoryInboxKeepsOnlyItsOwn: an entry's key may have been parsed from a message. The entry
// does not keep the headers of that message in memory (I10).
func TestMemoryInboxKeepsOnlyItsOwn(t *testing.T) {
	const entries, header = 1000, 64 << 10
	var inbox participant.MemoryInbox
	before := liveHeap()
	for n := range entries {
		headers := strings.Repeat(string(rune('a'+n%26)), header)
		key := participant.StepKey{Participant: "depot", Saga: contract.SagaID(headers[:40+n]), Step: contract.StepName(headers[:4])}
		err := inbox.Update(t.Context(), key, func(context.Context, *participant.MemoryTx, participant.Entry) (participant.Entry, bool, error) {
			return participant.Entry{Do: participant.Answer{Outcome: contract.OutcomeCompleted}}, true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if grown := liveHeap() - before; grown > entries*header/8 {
		t.Errorf("%d entries keep %d KiB", entries, grown>>10)
	}
	runtime.KeepAlive(&inbox)
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
