//go:build linux && lab

package reliability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/transport/natsbus"
)

// The load: the number of callers, each starting sagas one after the other, and the number of sagas
// that may be in flight. Starting does not wait for ends, and the first caller retries soon. A time
// without an acknowledgement is therefore caused by the system and not by the callers.
const (
	callers = 6
	most    = 512
)

// transferMoney has timeouts so short that a fault of a few seconds makes outcomes unknown.
var transferMoney = world.DefineTransfer(time.Second, 2)

// load is a set of callers that reach the bus through a proxy.
type load struct {
	*world.Load
	client *client.Client
}

func startLoad(t *testing.T, s *system, seed uint64) *load {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), world.Limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: s.proxies["load"].URL(), Name: "load"})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{world.NewLoad(transferMoney), client.New(bus, client.RequestTimeout(time.Second), client.PollInterval(500*time.Millisecond))}
	hasty := client.New(bus, client.RequestTimeout(100*time.Millisecond))
	places := make(chan struct{}, most)
	for w := range callers {
		rng := rand.New(rand.NewPCG(seed, uint64(w)+1))
		c := world.Caller{
			Name: fmt.Sprintf("w%02d", w), Client: l.client, Rng: rng, Places: places, AtOnce: w%3 == 1,
			Pause: func() time.Duration { return between(rng, 0, 100*time.Millisecond) },
		}
		if w == 0 {
			c.Client = hasty
		}
		l.Call(c)
	}
	t.Cleanup(func() {
		l.Stop()
		_ = bus.Close()
	})
	return l
}

// finish stops the load and waits for the end of every saga.
func (l *load) finish() { l.Finish(l.client) }
