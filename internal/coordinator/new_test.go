package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// untouched is a store whose methods panic, except for the one that describes it.
type untouched struct{ store.Store }

func (untouched) Shared() bool { return false }

// untouchedBus is a bus whose methods panic.
type untouchedBus struct{ coordinator.Bus }

// TestNewDoesNoIO checks that New, and Register before Run, use neither store nor bus. A request
// before Run gets the error that the coordinator is starting.
func TestNewDoesNoIO(t *testing.T) {
	c, err := coordinator.New(coordinator.Config{Store: untouched{}, Bus: untouchedBus{}, Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), checkout); err != nil {
		t.Error(err)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "starting") {
		t.Errorf("ready: %v", err)
	}
	for _, method := range []string{api.MethodStart, api.MethodGet, api.MethodListDefinitions, api.MethodRegisterDefinition, api.MethodGetOverview, api.MethodPoll} {
		e := c.Handle(t.Context(), method, &transport.Envelope{Saga: "a", Definition: checkout.Ref()})
		if e.Code != string(api.CodeUnavailable) || !strings.Contains(e.Reason, "starting") {
			t.Errorf("%s is answered %q, %s", method, e.Code, e.Reason)
		}
	}
}

// TestRegisterBeforeRun checks that Run stores the definitions registered before it, together with
// the configured ones. It returns the error if that fails.
func TestRegisterBeforeRun(t *testing.T) {
	other := saga.MustDefine[order]("checkout", saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)))
	for name, tt := range map[string]struct {
		early *saga.Definition
		want  error
	}{
		"the same again":    {checkout, nil},
		"another of a name": {other, &store.DefinitionConflictError{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				c, err := coordinator.New(coordinator.Config{Store: s, Bus: membus.New(membus.Options{}), Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Register(t.Context(), tt.early); err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				var conflict *store.DefinitionConflictError
				if tt.want != nil {
					if err := <-ended; !errors.As(err, &conflict) {
						t.Errorf("Run returns %v", err)
					}
					stop()
					return
				}
				<-c.Started()
				stored, err := s.Definitions(t.Context())
				if err != nil || len(stored) != 1 || stored[0].Ref != (contract.DefinitionRef{Name: "checkout", Version: 1}) {
					t.Errorf("stored are %v, %v", stored, err)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
