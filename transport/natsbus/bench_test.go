package natsbus_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

const benchBatch = 512

func benchBus(b *testing.B) *natsbus.Bus {
	b.Helper()
	server, err := embedded.Start(embedded.Config{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Shutdown)
	config := natsbus.Config{Provision: natsbus.ProvisionCreate}
	config.Options = append(config.Options, server.InProcess())
	bus, err := natsbus.Connect(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bus.Close() })
	return bus
}

func benchPublish(b *testing.B, bus *natsbus.Bus, n int) {
	batch := make([]transport.Envelope, 0, benchBatch)
	for i := range n {
		e := command(strconv.Itoa(i))
		e.Time, e.Data = time.Now(), make([]byte, 200)
		if batch = append(batch, e); len(batch) == benchBatch || i == n-1 {
			for _, err := range bus.Publish(b.Context(), batch) {
				if err != nil {
					b.Fatal(err)
				}
			}
			batch = batch[:0]
		}
	}
}

// BenchmarkPublish publishes commands with all headers and 200 bytes in batches of 512.
func BenchmarkPublish(b *testing.B) {
	bus := benchBus(b)
	b.ResetTimer()
	benchPublish(b, bus, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkReceive receives such commands in batches and acknowledges them one by one.
func BenchmarkReceive(b *testing.B) {
	bus := benchBus(b)
	benchPublish(b, bus, b.N)
	b.ResetTimer()
	source, err := bus.Subscribe(b.Context(), inventory())
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; n < b.N; {
		batch, err := source.Receive(b.Context(), benchBatch)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range batch {
			d.Ack()
		}
		n += len(batch)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
