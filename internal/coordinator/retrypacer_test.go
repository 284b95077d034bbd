package coordinator

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTurnsComeAsThereIsRoom simulates crowds of callers that start sagas within one second. 2000
// starts are admitted per second. A refused caller retries after half to one and a half of the
// given time. All are admitted nearly as early as possible, and callers retry only a few times on
// average.
func TestTurnsComeAsThereIsRoom(t *testing.T) {
	const perSecond, room = 2000, 100
	for _, crowd := range []int{500, 20_000, 60_000} {
		rng := rand.New(rand.NewPCG(1, uint64(crowd)))
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		turns := retryPacer{since: start.Add(-time.Hour)}
		var queue callers
		for range crowd {
			queue = append(queue, start.Add(time.Duration(rng.IntN(1000))*time.Millisecond))
		}
		heap.Init(&queue)
		asked, in, free := 0, 0, float64(room)
		now := start
		for in < crowd {
			at := heap.Pop(&queue).(time.Time)
			free = min(room, free+at.Sub(now).Seconds()*perSecond)
			now = at
			if asked++; free >= 1 {
				free--
				in++
				turns.admitted()
				continue
			}
			wait := turns.next(now, retryBusy)
			if wait < retryBusy || wait > retryMost {
				t.Fatalf("told to wait %s", wait)
			}
			heap.Push(&queue, now.Add(wait/2+rand.N(wait+1)))
		}
		least := time.Duration(crowd) * time.Second / perSecond
		if took := now.Sub(start); took > 2*time.Second+least*3/2 {
			t.Errorf("a crowd of %d took %s, and %d are let in a second", crowd, took, perSecond)
		}
		if asked > 8*crowd {
			t.Errorf("a crowd of %d asked %d times", crowd, asked)
		}
	}
}

// TestTurnsAfterAStandstill checks a coordinator that admits nobody for seconds. It does not delay
// a few refused callers for long, nor a crowd forever.
func TestTurnsAfterAStandstill(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var turns retryPacer
	for range 20 * 200 { // two hundred callers, refused every quarter of a second
		if now = now.Add(5 * time.Second / (20 * 200)); turns.next(now, retryBusy) > 2*retryBusy {
			t.Fatalf("after %s of a standstill", now.Sub(turns.since))
		}
	}
	for range 100_000 {
		if wait := turns.next(now, retryBusy); wait > retryMost {
			t.Fatalf("told to wait %s", wait)
		}
	}
	if wait := turns.next(now.Add(time.Minute), retryBusy); wait != retryBusy {
		t.Errorf("when the crowd has gone the next one is told to wait %s", wait)
	}
}

type callers []time.Time

func (c callers) Len() int           { return len(c) }
func (c callers) Less(i, j int) bool { return c[i].Before(c[j]) }
func (c callers) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *callers) Push(x any)        { *c = append(*c, x.(time.Time)) }
func (c *callers) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}
