package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// provisioner is a bus on which the coordinator creates subscriptions.
type provisioner struct {
	*membus.Bus
	expected []string
	asked    map[string]api.SubscribeRequest
	fails    error
}

func (p *provisioner) Provide(_ context.Context, participant string, q api.SubscribeRequest) (api.SubscribeResponse, error) {
	if p.fails != nil {
		return api.SubscribeResponse{}, p.fails
	}
	p.asked[participant] = q
	return api.SubscribeResponse{Stream: "COMMANDS", Consumer: participant}, nil
}

func (p *provisioner) Expect(participants []string) { p.expected = participants }

// TestSubscribe checks that a participant gets the subscription that it requests, within limits.
// The bus learns of all participants in definitions, including definitions registered later.
func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &provisioner{Bus: membus.New(membus.Options{}), asked: map[string]api.SubscribeRequest{}}
		defer bus.Close()
		c, err := coordinator.New(coordinator.Config{Bus: bus, Store: memstore.New(), Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler), Secret: []byte("s")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		knows := func(name string) bool { return slices.Contains(bus.expected, name) }
		if !knows("stock") || !knows("bank") || knows("printer") {
			t.Errorf("the bus expects %q", bus.expected)
		}
		late, err := saga.ParseJSON([]byte(`{"name":"late","version":1,"steps":[{"step":{"name":"print","kind":"retriable","do":{"participant":"printer","action":"print"}}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Register(ctx, late); err != nil {
			t.Fatal(err)
		}
		if !knows("printer") || !knows("stock") {
			t.Errorf("with one more definition the bus expects %q", bus.expected)
		}
		ask := func(participant, data string) *transport.Envelope {
			t.Helper()
			e, err := bus.Request(ctx, &transport.Envelope{Subject: transport.Subjects{}.Subscribe(participant), Type: transport.TypeRequest, Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if e := ask("stock", `{"ackWait":"7s","maxInFlight":9,"bundle":4}`); e.Code != "" {
			t.Errorf("refused: %s", e.Reason)
		} else if want := (api.SubscribeRequest{AckWait: api.For(7 * time.Second), MaxInFlight: 9, Bundle: 4}); !reflect.DeepEqual(bus.asked["stock"], want) {
			t.Errorf("the bus is asked for %+v, want %+v", bus.asked["stock"], want)
		} else {
			var reply api.SubscribeResponse
			if err := json.Unmarshal(e.Data, &reply); err != nil || reply != (api.SubscribeResponse{Stream: "COMMANDS", Consumer: "stock"}) {
				t.Errorf("the reply is %s (%v)", e.Data, err)
			}
		}
		if e := ask("stock", ""); e.Code != "" || bus.asked["stock"] != (api.SubscribeRequest{}) {
			t.Errorf("without settings: %q %s, %+v", e.Code, e.Reason, bus.asked["stock"])
		}
		for data, want := range map[string]string{
			`{"ackWait":"0.999s"}`:       "ackWait",
			`{"ackWait":"3600.001s"}`:    "ackWait",
			`{"ackWait":"7 s"}`:          "is not a duration",
			`{"ackWait":7}`:              "ackWait",
			`{"maxInFlight":-1}`:         "maxInFlight",
			`{"maxInFlight":65537}`:      "maxInFlight",
			`{"bundle":1025}`:            "bundle",
			`{"deliver_subject":"a"}`:    "deliver_subject",
			`{"filter":"saga.command.>"`: "JSON",
		} {
			if e := ask("bank", data); e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, want) {
				t.Errorf("%s: %q %q; want that it is refused for %s", data, e.Code, e.Reason, want)
			}
		}
		if e := ask("Bank", ""); e.Code != string(api.CodeInvalidArgument) {
			t.Errorf("a participant that has no name: %q %s", e.Code, e.Reason)
		}
		bus.fails = errors.New("the server is away")
		if e := ask("bank", ""); e.Code != string(api.CodeUnavailable) || !strings.Contains(e.Reason, "away") {
			t.Errorf("while the server is away: %q %s", e.Code, e.Reason)
		}
		if len(bus.asked) != 1 {
			t.Errorf("the bus was asked for %v", bus.asked)
		}
	})
}

// If a bus lets participants create their own subscriptions, the reply says so.
func TestSubscribeElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		e, err := w.bus.Request(t.Context(), &transport.Envelope{Subject: transport.Subjects{}.Subscribe("bank"), Type: transport.TypeRequest})
		if err != nil || e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, "create their own subscriptions") {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
