package coordinator

import (
	"log/slog"
	"testing"

	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport/membus"
)

// TestLastBlockedMovesMeanwhile: the last saga that could not be moved moves between its being
// counted and its being named.
func TestLastBlockedMovesMeanwhile(t *testing.T) {
	c, err := New(Config{Bus: membus.New(membus.Options{}), Store: memstore.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.blocked.count.Store(1)
	if found, err := c.monitor.memory(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("there stands %v, %v", found, err)
	}
}
