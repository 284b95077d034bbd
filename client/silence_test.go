package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/transport"
)

// nobody is a bus without a coordinator.
type nobody struct{}

func (nobody) Request(context.Context, *transport.Envelope) (*transport.Envelope, error) {
	return nil, transport.ErrNoResponders
}

// notes is a log that can be read concurrently.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// TestNobodyAnswers: a caller logs at once, and then every few seconds, that it waits for a
// coordinator. It gives up after ten minutes.
func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said notes
		c := client.New(nobody{}, client.Logger(slog.New(slog.NewTextHandler(&said, nil))))
		began := time.Now()
		done := make(chan error, 1)
		go func() { _, err := c.Get(t.Context(), "order-42"); done <- err }()
		synctest.Wait()
		if !strings.Contains(said.String(), `msg="waiting for a coordinator that answers;`) {
			t.Errorf("at once it says %q", &said)
		}
		err := <-done
		if took := time.Since(began); !errors.Is(err, client.ErrUnavailable) || took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
		if n := strings.Count(said.String(), "waiting for a coordinator"); n < 40 || n > 130 {
			t.Errorf("in ten minutes it says %d times that it waits", n)
		}
	})
}
