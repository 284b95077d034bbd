package coordinator_test

import (
	"log/slog"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// BenchmarkHandle measures two frequent requests over the bus: reading a status, and starting a
// saga that exists already.
func BenchmarkHandle(b *testing.B) {
	bus := membus.New(membus.Options{Retain: 10})
	c, err := coordinator.New(coordinator.Config{Store: memstore.New(), Bus: bus, Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(b.Context()) }()
	b.Cleanup(func() { <-done; bus.Close() })
	<-c.Started()
	if e := c.Handle(b.Context(), api.MethodStart, startKnown()); e.Code != "" {
		b.Fatal(e.Reason)
	}
	for name, request := range map[string]func() *transport.Envelope{
		api.MethodStart: startKnown,
		api.MethodGet:   func() *transport.Envelope { return &transport.Envelope{Data: []byte(`{"id":"known"}`)} },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if e := c.Handle(b.Context(), name, request()); e.Code != "" {
					b.Fatal(e.Reason)
				}
			}
		})
	}
}
