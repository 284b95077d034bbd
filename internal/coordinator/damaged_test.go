package coordinator_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// lines is a log that can be read while it is being written.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// remove requests the removal of a damaged saga.
func (w *fixture) remove(id string, data string) (*api.Saga, *transport.Envelope) {
	w.t.Helper()
	e, err := w.bus.Request(w.t.Context(), &transport.Envelope{
		Subject: transport.Subjects{}.API(api.MethodRemoveDamaged), Type: transport.TypeRequest, Expires: time.Now().Add(time.Minute),
		Data: of(contract.SagaID(id), data, false),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if e.Code != "" {
		return &api.Saga{}, e
	}
	return sagaIn(w.t, e), e
}

// Removing a damaged saga requires an operator and a reason. Afterwards the saga is not blocked,
// causes no standstill and sends nothing, and late answers have no effect. Its id stays taken. A
// readable saga is not removed.
func TestDamagedSagaIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		cl := client.New(w.bus)
		start := func(id contract.SagaID) {
			t.Helper()
			if _, err := cl.Start(t.Context(), checkout, order{"tea"}, client.ID(id)); err != nil {
				t.Fatal(err)
			}
		}
		start("sick")
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		if !w.store.Spoil("sick") {
			t.Fatal("there is no such saga")
		}
		var said lines
		c := w.start(coordinator.Config{Logger: slog.New(slog.NewJSONHandler(&said, nil))})
		time.Sleep(18 * time.Second) // virtual: its first attempt has timed out
		start("well")
		stands := func() bool {
			return slices.ContainsFunc(c.Standstills(), func(s api.Standstill) bool { return s.Kind == api.StandstillSagas })
		}
		if o := w.overview(); o.Blocked != 1 || o.Open != 2 || !stands() {
			t.Fatalf("%d are blocked of %d: %v", o.Blocked, o.Open, c.Standstills())
		}
		for data, field := range map[string]string{`{"by":"ada"}`: "reason", `{"reason":"x"}`: "by", `{"by":"` + strings.Repeat("x", 2000) + `","reason":"x"}`: "by", `{"by":"ada","reason":"x","force":true}`: "force"} {
			if _, e := w.remove("sick", data); e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, field) {
				t.Errorf("%.40s: %s %s", data, e.Code, e.Reason)
			}
		}
		const right = `{"by":"ada","reason":"settled by hand, ticket 1234"}`
		for id, code := range map[string]api.Code{"well": api.CodeFailedPrecondition, "nobody": api.CodeNotFound, "no body": api.CodeInvalidArgument} {
			if _, e := w.remove(id, right); e.Code != string(code) {
				t.Errorf("%s: %s %s", id, e.Code, e.Reason)
			}
		}
		s, e := w.remove("sick", right)
		if e.Code != "" || !s.Removed || s.Phase != contract.PhaseParked || s.Removal == nil || s.Removal.By != "ada" || s.Removal.Reason != "settled by hand, ticket 1234" || !strings.Contains(s.Removal.Damage, "sick") {
			t.Fatalf("removed: %s %s, %+v, %+v", e.Code, e.Reason, s, s.Removal)
		}
		if o := w.overview(); o.Blocked != 0 || o.Open != 1 {
			t.Errorf("right after it %d are blocked of %d", o.Blocked, o.Open)
		}
		w.services()            // they answer commands that were sent before the removal
		time.Sleep(time.Minute) // virtual
		if o := w.overview(); o.Blocked != 0 || o.Open != 0 || stands() {
			t.Errorf("after it was removed %d are blocked of %d: %v", o.Blocked, o.Open, c.Standstills())
		}
		if line := said.String(); !strings.Contains(line, "a damaged saga was removed") || !strings.Contains(line, `"by":"ada"`) || !strings.Contains(line, "ticket 1234") {
			t.Errorf("it is not logged: %s", line)
		}
		again, err := cl.Get(t.Context(), "sick")
		if err != nil || again.Removal == nil || *again.Removal != *s.Removal {
			t.Errorf("get: %+v, %v", again, err)
		}
		if _, err := cl.Start(t.Context(), checkout, order{"coffee"}, client.ID("sick")); err == nil {
			t.Error("its id was given to another saga")
		}
		if s, err := cl.Wait(t.Context(), "well"); err != nil || s.Phase != contract.PhaseCompleted {
			t.Errorf("the other saga: %+v, %v", s, err)
		}
		if letters := w.deadLetters(); len(letters) > 0 {
			t.Errorf("late answers became dead letters: %q", letters)
		}
		if s, err := cl.Wait(t.Context(), "sick"); err != nil || !s.Removed {
			t.Errorf("wait: %+v, %v", s, err)
		}
	})
}
