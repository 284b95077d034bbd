package coordinator

import (
	"testing"
	"testing/synctest"
	"time"
)

// Without load a shard never waits for more inputs. Under load it waits while inputs arrive, for a
// bounded time, until half a batch is there.
func TestLinger(t *testing.T) {
	for _, test := range []struct {
		name   string
		before int           // inputs in the previous batch
		limit  time.Duration // Config.MaxLinger
		every  time.Duration // interval between inputs
		took   time.Duration
		inputs int
	}{
		{"little to do", lingerFrom - 1, 8 * time.Millisecond, time.Millisecond, 0, 1},
		{"under load, until the bound", 1000, 8 * time.Millisecond, 900 * time.Microsecond, 8 * time.Millisecond, 9},
		{"until nothing comes", lingerFrom, 9 * time.Millisecond, time.Hour, 3 * time.Millisecond, 1},
		{"until half a batch is there", 1000, 8 * time.Millisecond, 100 * time.Microsecond, 1500 * time.Microsecond, 16},
		{"never, if told so", 1000, -1, time.Millisecond, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shard{c: &Coordinator{config: Config{MaxLinger: test.limit}}, inbox: newInbox(100)}
				stop := make(chan struct{})
				go func() {
					for {
						select {
						case <-time.After(test.every):
							s.inbox.offer(work{})
						case <-stop:
							return
						}
					}
				}()
				began := time.Now()
				batch := s.linger(append(make([]work, 0, 32), work{}), test.before)
				if took := time.Since(began); took != test.took || len(batch) != test.inputs {
					t.Errorf("%d inputs after %s, want %d after %s", len(batch), took, test.inputs, test.took)
				}
				close(stop)
			})
		})
	}
}
