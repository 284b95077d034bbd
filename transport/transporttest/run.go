package transporttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Factory creates the bus under test.
type Factory struct {
	// New creates an empty bus with the default prefix, and closes it with t.Cleanup.
	New func(t *testing.T) transport.Bus
	// Lose makes the bus lose all accepted messages, as after a crash or a mistake of an operator.
	// It may be nil if Lacks contains Losing.
	Lose func(t *testing.T, bus transport.Bus)
	// Close closes the bus.
	Close func(t *testing.T, bus transport.Bus)
	// Lacks lists the features that the bus does not have, with the reasons.
	Lacks map[Feature]string
}

// Feature is a capability that some buses lack.
type Feature string

// The features.
const (
	Order        Feature = "an order"
	Batches      Feature = "several deliveries in one Receive"
	AckWait      Feature = "redelivery after AckWait"
	NakDelay     Feature = "redelivery not before the delay of Nak"
	Sharing      Feature = "several sources that share a name"
	Continuing   Feature = "going on where a closed source stopped"
	Dedup        Feature = "deduplication by DedupID"
	SizeLimit    Feature = "a limit on size"
	Redeliveries Feature = "counting redeliveries"
	Requests     Feature = "requests and replies"
	Letters      Feature = "looking through dead letters and replaying them"
	InFlight     Feature = "a bound on deliveries in flight"
	New          Feature = "ephemeral subscriptions"
	Losing       Feature = "being made to forget"
	Tracking     Feature = "telling what was taken in"
)

const (
	wait  = 2 * time.Minute        // limit for events that must happen
	quiet = 150 * time.Millisecond // wait for events that must not happen
)

// Run runs the whole suite.
func Run(t *testing.T, f Factory) {
	tests := []struct {
		name  string
		needs []Feature
		run   func(*testing.T, *bench)
	}{
		{"every attribute arrives", nil, everyAttribute},
		{"a batch keeps its order", []Feature{Order}, order},
		{"a batch is the caller's again", nil, callersAgain},
		{"what is there comes in one batch", []Feature{Batches}, batches},
		{"subjects are filtered", nil, filters},
		{"an error per envelope", nil, errorPerEnvelope},
		{"an answer needs only its type", nil, bareAnswer},
		{"ack ends it", []Feature{AckWait}, ackEnds},
		{"what is not answered comes again", []Feature{AckWait}, ackWait},
		{"it tells what was taken in", []Feature{Tracking}, takenIn},
		{"in progress holds it back", []Feature{AckWait}, inProgress},
		{"nak brings it back", nil, nak},
		{"nak with delay brings it back later", []Feature{NakDelay}, nakDelay},
		{"two sources share the work", []Feature{Sharing}, sharing},
		{"a name goes on where it stopped", []Feature{Continuing}, continuing},
		{"no more in flight than asked for", []Feature{InFlight}, inFlight},
		{"a dedup id counts once", []Feature{Dedup}, dedup},
		{"too large is said at once", []Feature{SizeLimit}, tooLarge},
		{"lifecycle reaches every listener", nil, lifecycle},
		{"an ephemeral listener begins with now", []Feature{New}, ephemeral},
		{"nonsense goes to the dead letters", nil, nonsense},
		{"a receiver can move to the dead letters", nil, deadLetter},
		{"a dead letter is replayed", []Feature{Letters}, replay},
		{"dead letters are purged", []Feature{Letters}, purge},
		{"request and reply", []Feature{Requests}, requests},
		{"nobody answers", []Feature{Requests}, noResponders},
		{"receive ends with its context", nil, receiveContext},
		{"receive ends with close", nil, receiveClose},
		{"publish ends with its context", nil, publishContext},
		{"a closed bus says so", nil, closedBus},
		{"loss is signalled and work goes on", []Feature{Losing}, loss},
	}
	for _, test := range tests {
		if why := f.lacks(test.needs); why != "" {
			t.Logf("not run: %s, %s", test.name, why) // not t.Skip, because the test does not apply to the bus
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			test.run(t, &bench{t: t, f: f, bus: f.New(t)})
		})
	}
}

// lacks returns the reason why a test does not apply, or "" if it applies.
func (f Factory) lacks(needs []Feature) string {
	for _, need := range needs {
		if why, lacks := f.Lacks[need]; lacks {
			return fmt.Sprintf("without %s: %s", need, why)
		}
	}
	return ""
}

// bench is a bus under test with helper methods, which fail the test on errors.
type bench struct {
	t        *testing.T
	f        Factory
	bus      transport.Bus
	subjects transport.Subjects
}

// inTime runs a test whose calls must happen within an AckWait. A busy machine may be too slow, so
// inTime retries with a longer AckWait and a new bus.
func (b *bench) inTime(try func(b *bench, ackWait time.Duration) error) {
	b.t.Helper()
	for ackWait := quiet; ; ackWait *= 4 {
		err := try(b, ackWait)
		if err == nil {
			return
		}
		if ackWait >= 64*quiet {
			b.t.Fatal(err)
		}
		b = &bench{t: b.t, f: b.f, bus: b.f.New(b.t)}
	}
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), wait)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *bench) subscribe(s transport.Subscription) transport.Source {
	b.t.Helper()
	source, err := b.bus.Subscribe(b.ctx(), s)
	if err != nil {
		b.t.Fatalf("subscribe: %v", err)
	}
	b.t.Cleanup(func() { source.Close() })
	return source
}

func (b *bench) publish(batch ...transport.Envelope) {
	b.t.Helper()
	for i, err := range b.bus.Publish(b.ctx(), batch) {
		if err != nil {
			b.t.Fatalf("publish envelope %d: %v", i, err)
		}
	}
}

// receive collects n deliveries.
func (b *bench) receive(source transport.Source, n int) []transport.Delivery {
	b.t.Helper()
	var all []transport.Delivery
	ctx := b.ctx()
	for len(all) < n {
		batch, err := source.Receive(ctx, n-len(all))
		if err != nil {
			b.t.Fatalf("receive: %v, after %d of %d deliveries", err, len(all), n)
		}
		if len(batch) == 0 || len(batch) > n-len(all) {
			b.t.Fatalf("receive: %d deliveries, want 1 to %d", len(batch), n-len(all))
		}
		all = append(all, batch...)
	}
	return all
}

// take receives and acknowledges n deliveries one by one. It returns their ids.
func (b *bench) take(source transport.Source, n int) []string {
	b.t.Helper()
	var ids []string
	for len(ids) < n {
		for _, d := range b.receive(source, 1) {
			ids = append(ids, d.Envelope().ID)
			d.Ack()
		}
	}
	return ids
}

// nothing fails the test if a delivery arrives.
func (b *bench) nothing(source transport.Source) {
	b.t.Helper()
	if err := b.silent(source, quiet); err != nil {
		b.t.Fatal(err)
	}
}

// silent returns an error if a delivery arrives within the given time.
func (b *bench) silent(source transport.Source, meanwhile time.Duration) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), meanwhile)
	defer cancel()
	batch, err := source.Receive(ctx, 1)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w, want nothing", err)
	}
	return fmt.Errorf("received %d deliveries, want nothing", len(batch))
}

// command returns a valid command with number i.
func (b *bench) command(participant string, i int) transport.Envelope {
	key := contract.Key{Saga: contract.SagaID(fmt.Sprintf("order-%d", i)), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
	return transport.Envelope{
		Subject:   b.subjects.Command(participant, "reserve-stock"),
		ID:        fmt.Sprintf("%s/1", key),
		Source:    "/amends/test",
		Type:      transport.TypeCommand,
		Saga:      key.Saga,
		Birth:     key.Birth,
		Step:      key.Step,
		Direction: key.Direction,
		Attempt:   1,
		ReplyTo:   b.subjects.Event(participant, key, 1),
		Data:      fmt.Appendf(nil, `{"n":%d}`, i),
	}
}

// same compares ids. It also compares their order if the bus keeps the order.
func (b *bench) same(what string, want, got []string) {
	b.t.Helper()
	if _, unordered := b.f.Lacks[Order]; unordered {
		want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (b *bench) commands(participant string, n int) (batch []transport.Envelope, ids []string) {
	for i := range n {
		batch = append(batch, b.command(participant, i))
		ids = append(ids, batch[i].ID)
	}
	return batch, ids
}

func inventory() transport.Subscription {
	return transport.Subscription{Stream: transport.StreamCommands, Name: "inventory", Subjects: []string{transport.Subjects{}.Commands("inventory")}}
}
