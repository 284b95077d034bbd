package participant_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
)

// TestMemoryInbox runs the law (I5).
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

// TestMemoryInboxKeepsOnlyItsOwn: an entry does not keep the headers of the message
// that its key was read from (I10).
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
