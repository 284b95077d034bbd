package natsbus

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// still returns a queue whose entries are not stored, and a function that creates entries.
func still(t *testing.T) (*deadQueue, func(participant string, size int) *deadEntry) {
	t.Helper()
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	bus, err := Connect(t.Context(), Config{Options: []nats.Option{server.InProcess()}, QueueBytes: 1 << 20, LifecycleBytes: 1 << 20, DeadBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	from := &source{bus: bus, sub: transport.Subscription{Stream: transport.StreamEvents}}
	n := 0
	return newDeadQueue(bus), func(participant string, size int) *deadEntry {
		n++
		m := &nats.Msg{Subject: "saga.event." + participant + ".x", Reply: fmt.Sprintf("$JS.ACK.S.C.1.%d.1.1.0", n), Data: make([]byte, size)}
		return (&delivery{source: from, msg: m, arrived: time.Now(), delivered: 1}).deadEntry("nonsense")
	}
}

// While nothing can be stored, the entries of one participant leave room for others. A participant
// may use at most half of the remaining capacity, in number and in bytes (I10).
func TestLettersThatWaitAreShared(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		most int // maximum for a single participant
	}{{"many", 10, maxLetters/2 + 1}, {"large", 1 << 20, maxLetterBytes/(1<<20)/2 + 1}} {
		t.Run(c.name, func(t *testing.T) {
			q, write := still(t)
			shares := []int{}
			for _, participant := range []string{"a", "b", "c", "d"} {
				for range LetterBurst {
					if err := q.put(write(participant, c.size)); err != nil {
						t.Fatal(err)
					}
				}
				shares = append(shares, q.shares[participant])
			}
			if shares[0] > c.most || shares[0] < c.most-2 || shares[1] < shares[0]/2-1 || shares[3] < 2 {
				t.Errorf("they have %v that wait, want about %d, and each half of what is left", shares, c.most)
			}
			if len(q.waiting) > maxLetters || q.bytes > maxLetterBytes {
				t.Errorf("%d letters wait, of %d bytes", len(q.waiting), q.bytes)
			}
			q.remove(q.waiting)
			if len(q.waiting) != 0 || q.bytes != 0 || len(q.shares) != 0 {
				t.Errorf("%d letters, %d bytes and %d shares are left of nothing", len(q.waiting), q.bytes, len(q.shares))
			}
		})
	}
}

// The rate limit is per participant and recovers over time. The bus keeps buckets for a bounded
// number of participants (I10).
func TestLetterRate(t *testing.T) {
	q, _ := still(t)
	now := time.Now()
	spent := func(participant string) (n int) {
		for q.spend(participant, now) {
			n++
		}
		return n
	}
	if n := spent("a"); n != LetterBurst {
		t.Errorf("%d at once, want %d", n, LetterBurst)
	}
	if n := spent("b"); n != LetterBurst {
		t.Errorf("another has %d", n)
	}
	now = now.Add(2 * time.Second)
	if n := spent("a"); n != 2*LetterRate {
		t.Errorf("%d after two seconds, want %d", n, 2*LetterRate)
	}
	for i := range 3 * maxBuckets {
		q.spend(fmt.Sprint("p", i), now)
	}
	if len(q.buckets) > maxBuckets+1 {
		t.Errorf("%d participants are remembered", len(q.buckets))
	}
	now = now.Add(time.Minute)
	if n := spent("new"); n != LetterBurst || len(q.buckets) > 2 {
		t.Errorf("%d of a new one a minute later, with %d remembered", n, len(q.buckets))
	}
}

// The log line about a lost message describes the message. It omits the data if data must be
// hidden.
func TestDroppedDataIsHidden(t *testing.T) {
	const data = `{"card":"4111-1111"}`
	for _, hide := range []bool{false, true} {
		q, write := still(t)
		var log bytes.Buffer
		q.bus.config.Logger, q.bus.config.HideData = slog.New(slog.NewTextHandler(&log, nil)), hide
		l := write("a", 0)
		l.msg.Data = []byte(data)
		q.drop(l, "it could not be stored", nil)
		if text := log.String(); !strings.Contains(text, "saga.event.a.x") || strings.Contains(text, "4111-1111") == hide {
			t.Errorf("hidden %v: %s", hide, text)
		}
	}
}
