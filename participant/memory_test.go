package participant_test

import (
	"context"
	"sync"
	"testing"

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
