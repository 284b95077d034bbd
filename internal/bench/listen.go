package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// ends holds the sagas whose callers listen for the announcement of their end.
type ends struct {
	mu      sync.Mutex
	waiting map[string]chan contract.Phase // keyed by saga; each channel receives one phase
}

// listen subscribes to all announcements.
func (w *world) listen(server *embedded.Server) error {
	nc, err := nats.Connect(server.ClientURL(), carrierOptions(server, w.inside)...)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { nc.Close(); return nil })
	w.ends = &ends{waiting: map[string]chan contract.Phase{}}
	heard, err := nc.Subscribe(transport.Subjects{}.Lifecycle(checkout.Ref().Name, "*"), w.ends.announced)
	if err != nil {
		return err
	}
	return heard.SetPendingLimits(-1, -1) // no announcement may be dropped, because it is sent only once
}

func (e *ends) announced(m *nats.Msg) {
	phase := contract.Phase(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if phase != contract.PhaseCompleted && phase != contract.PhaseCompensated {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := m.Header.Get(transport.AttrSaga)
	if end := e.waiting[id]; end != nil {
		delete(e.waiting, id) // a crash can cause a second announcement
		end <- phase
	}
}

// of registers a saga that is about to start.
func (e *ends) of(id string) <-chan contract.Phase {
	end := make(chan contract.Phase, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting[id] = end
	return end
}

// heard starts a saga and waits for the announcement of its end.
func (w *world) heard(ctx context.Context, n int64, want contract.Phase) error {
	id := uuid.Must(uuid.NewV7()).String()
	end := w.ends.of(id)
	if _, err := w.caller.Start(ctx, checkout, input(n), client.ID(contract.SagaID(id))); err != nil {
		return err
	}
	select {
	case phase := <-end:
		if phase != want {
			return fmt.Errorf("saga %s is %s, want %s", id, phase, want)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
