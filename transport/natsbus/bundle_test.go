package natsbus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/transporttest"
)

// Bundled messages pass the same conformance suite as single messages.
func TestConformanceInBundles(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, transporttest.Factory{
		New: func(t *testing.T) transport.Bus {
			bus := connect(t, start(t, embedded.Config{}), nil)
			bus.ForceBundles(16)
			return bus
		},
		Close: func(t *testing.T, bus transport.Bus) {
			if err := bus.(*natsbus.Bus).Close(); err != nil {
				t.Error(err)
			}
		},
		Lacks: map[transporttest.Feature]string{
			transporttest.InFlight:   "the bound counts bundles",
			transporttest.Dedup:      "a bundle has an id of its own",
			transporttest.Continuing: "what a closed source did not hand out of a bundle comes again with the rest of it",
			transporttest.Losing:     "tested with single messages",
		},
	})
}

func commands(n int) (batch []transport.Envelope, ids []string) {
	for i := range n {
		batch = append(batch, command(fmt.Sprintf("c%d", i)))
		ids = append(ids, batch[i].ID)
	}
	return batch, ids
}

// lie returns the subjects of the messages in a stream.
func lie(t *testing.T, bus *natsbus.Bus, s transport.Stream) (subjects []string) {
	t.Helper()
	stream, err := jetStream(t, bus).Stream(within(t), bus.StreamName(s))
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(within(t), seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal(err)
		}
		if err == nil {
			subjects = append(subjects, m.Subject)
		}
	}
	return subjects
}

// until publishes batches until want accepts the subjects of the messages in the stream.
func until(t *testing.T, bus *natsbus.Bus, batch []transport.Envelope, want func(subjects []string) bool) {
	t.Helper()
	ctx := within(t)
	for try := 0; ; try++ {
		before := len(lie(t, bus, transport.StreamCommands))
		fresh := slices.Clone(batch)
		for i := range fresh {
			fresh[i].DedupID = fmt.Sprintf("%s-%d", fresh[i].DedupID, try)
		}
		insist(t, bus, fresh...)
		subjects := lie(t, bus, transport.StreamCommands)[before:]
		if want(subjects) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("after %d tries they lie on the bus as %q", try, subjects)
		}
	}
}

// Commands are bundled once the bus knows that their participant accepts bundles. A bundle has at
// most the size that the participant accepts. When the participant no longer accepts bundles,
// commands are sent one by one again.
func TestBundlesForWhoTakesThem(t *testing.T) {
	server := start(t, embedded.Config{})
	bus := connect(t, server, nil)
	batch, _ := commands(10)
	ours := inventory()
	ours.Bundle = 4
	source := subscribe(t, bus, ours)
	until(t, bus, batch, func(subjects []string) bool {
		return slices.Equal(subjects, []string{"saga.command.inventory.bundle.4", "saga.command.inventory.bundle.4", "saga.command.inventory.bundle.2"})
	})
	if bus.Stats().Bundles == 0 {
		t.Error("no bundle was counted")
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	subscribe(t, bus, inventory()) // an older process, which does not accept bundles
	until(t, bus, batch, func(subjects []string) bool {
		return slices.Equal(slices.Compact(subjects), []string{"saga.command.inventory.reserve-stock"})
	})
}

// A participant that is unknown, or has not declared that it accepts bundles, never receives one.
func TestNoBundlesUnasked(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	subscribe(t, bus, inventory())
	batch, _ := commands(3)
	other := batch[0]
	other.Subject, other.DedupID = "saga.command.nobody.reserve-stock", "other"
	insist(t, bus, append(batch, other, other)...)
	if err := bus.Look(within(t)); err != nil {
		t.Fatal(err)
	}
	insist(t, bus, batch...)
	if n := bus.Stats().Bundles; n != 0 {
		t.Errorf("%d bundles", n)
	}
}

// Answers are bundled if the metadata of the stream says that the reader accepts bundles. This also
// holds for a bus that may not create streams. A bus that may create streams adds the metadata to
// an existing stream.
func TestBundlesOfAnswers(t *testing.T) {
	server := start(t, embedded.Config{})
	coordinator := connect(t, server, nil)
	js := jetStream(t, coordinator)
	stream, err := js.Stream(within(t), coordinator.StreamName(transport.StreamEvents))
	if err != nil {
		t.Fatal(err)
	}
	older := stream.CachedInfo().Config
	older.Metadata = nil
	if _, err := js.UpdateStream(within(t), older); err != nil {
		t.Fatal(err)
	}
	service := connect(t, server, func(c *natsbus.Config) { c.Provision, c.CheckInterval = natsbus.ProvisionVerify, time.Hour })
	answers := []transport.Envelope{
		{Subject: "saga.event.inventory.a.7.reserve.do.1", Type: transport.TypeCompleted, ID: "a"},
		{Subject: "saga.event.inventory.b.7.reserve.do.1", Type: transport.TypeRejected, ID: "b", Reason: "sold out"},
		{Subject: "saga.event.payment.b.7.charge.do.1", Type: transport.TypeCompleted, ID: "c"},
	}
	insist(t, service, answers...)
	if n := service.Stats().Bundles; n != 0 {
		t.Errorf("%d bundles on a stream that does not say that they are read", n)
	}
	for _, bus := range []*natsbus.Bus{coordinator, service} {
		if err := bus.Look(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	insist(t, service, answers...)
	want := []string{
		"saga.event.inventory.a.7.reserve.do.1", "saga.event.inventory.b.7.reserve.do.1", "saga.event.payment.b.7.charge.do.1",
		"saga.event.inventory.bundle.2", "saga.event.payment.b.7.charge.do.1",
	}
	got := lie(t, coordinator, transport.StreamEvents)
	slices.Sort(got[3:])
	slices.Sort(want[3:])
	if !slices.Equal(got, want) {
		t.Errorf("they lie there as %q, want %q", got, want)
	}
	await(t, subscribe(t, coordinator, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"}), "a", "b", "c")
}

// bundled returns a bus that sends bundles, a source that accepts them, and the ids of n published
// commands.
func bundled(t *testing.T, n int, change func(*transport.Subscription)) (*natsbus.Bus, transport.Source, []string) {
	t.Helper()
	bus := connect(t, start(t, embedded.Config{}), nil)
	bus.ForceBundles(natsbus.BundleMost)
	sub := inventory()
	if change != nil {
		change(&sub)
	}
	source := subscribe(t, bus, sub)
	batch, ids := commands(n)
	insist(t, bus, batch...)
	if n > 1 && bus.Stats().Bundles != 1 {
		t.Fatalf("%d bundles", bus.Stats().Bundles)
	}
	return bus, source, ids
}

// receive receives n deliveries.
func receive(t *testing.T, source transport.Source, n int) (list []transport.Delivery) {
	t.Helper()
	for len(list) < n {
		some, err := source.Receive(within(t), n-len(list))
		if err != nil {
			t.Fatalf("%v after %d of %d deliveries", err, len(list), n)
		}
		list = append(list, some...)
	}
	if len(list) != n {
		t.Fatalf("%d deliveries, asked for %d", len(list), n)
	}
	return list
}

func idsOf(list []transport.Delivery) (ids []string) {
	for _, d := range list {
		ids = append(ids, d.Envelope().ID)
	}
	return ids
}

// A bundle is delivered in parts of the requested size. It is removed only when all of its messages
// are acknowledged.
func TestBundleIsAcknowledgedWhole(t *testing.T) {
	bus, source, ids := bundled(t, 7, nil)
	first := receive(t, source, 3)
	rest := receive(t, source, 4)
	if got := idsOf(append(slices.Clone(first), rest...)); !slices.Equal(got, ids) {
		t.Errorf("came %q, want %q", got, ids)
	}
	for _, d := range append(first, rest[1:]...) {
		d.Ack()
		d.Ack() // a second acknowledgement has no effect
	}
	if got := lie(t, bus, transport.StreamCommands); len(got) != 1 {
		t.Errorf("it is gone although one is not acknowledged: %q", got)
	}
	rest[0].Ack()
	awaitEmpty(t, bus, transport.StreamCommands)
}

// If one message is returned, its whole bundle is redelivered once the others are acknowledged.
func TestBundleComesAgain(t *testing.T) {
	bus, source, ids := bundled(t, 3, nil)
	list := receive(t, source, 3)
	list[1].Nak(0)
	list[0].Ack()
	list[2].Ack()
	again := receive(t, source, 3)
	if got := idsOf(again); !slices.Equal(got, ids) {
		t.Errorf("came again: %q", got)
	}
	for _, d := range again {
		if d.Redeliveries() != 1 {
			t.Errorf("%s was delivered %d times before", d.Envelope().ID, d.Redeliveries())
		}
		d.Ack()
	}
	awaitEmpty(t, bus, transport.StreamCommands)
}

// InProgress on one message extends the time of the whole bundle. A bundle without any
// acknowledgement is redelivered.
func TestBundleInProgress(t *testing.T) {
	t.Parallel()
	// A busy machine may be too slow for a short AckWait, so retry with a longer one.
	ackWait := 300 * time.Millisecond
	for ; !heldBack(t, ackWait); ackWait *= 4 {
		if ackWait > 10*time.Second {
			t.Fatalf("it came again although it was in progress, with an AckWait of %s too", ackWait)
		}
	}
}

// heldBack reports whether a bundle is not redelivered while InProgress is called for one of its
// messages, and is redelivered afterwards.
func heldBack(t *testing.T, ackWait time.Duration) bool {
	t.Helper()
	_, source, ids := bundled(t, 2, func(s *transport.Subscription) { s.AckWait = ackWait })
	list := receive(t, source, 2)
	list[0].Ack()
	held := time.NewTimer(3 * ackWait)
	defer held.Stop()
	beat := time.NewTicker(ackWait / 6)
	defer beat.Stop()
	for over := false; !over; {
		select {
		case <-beat.C:
			list[1].InProgress()
		case <-held.C:
			over = true
		}
	}
	again := receive(t, source, 2)
	await(t, source, ids...)
	return again[0].Redeliveries() == 1
}

// A closed source returns messages that it did not deliver.
func TestBundleOfAClosedSource(t *testing.T) {
	bus, source, ids := bundled(t, 5, func(s *transport.Subscription) { s.AckWait = time.Hour })
	for _, d := range receive(t, source, 2) {
		d.Ack()
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	sub := inventory()
	sub.AckWait = time.Hour
	await(t, subscribe(t, bus, sub), ids...)
}

// A message of a bundle can be dead-lettered, and is replayed as a single message. A message that
// cannot be decoded is dead-lettered alone.
func TestDeadLetterOfABundle(t *testing.T) {
	bus, source, _ := bundled(t, 3, nil)
	list := receive(t, source, 3)
	list[0].Ack()
	for _, d := range list[1:] {
		if err := d.DeadLetter(within(t), "not ours"); err != nil {
			t.Fatal(err)
		}
	}
	awaitEmpty(t, bus, transport.StreamCommands)
	letters, err := bus.ListDeadLetters(within(t), 0, 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d dead letters (%v), want 2", len(letters), err)
	}
	for i, l := range letters {
		if want := list[i+1].Envelope(); l.Subject != want.Subject || l.Header["ce-id"][0] != want.ID {
			t.Errorf("dead letter %+v", l)
		}
	}
	bus.ForceBundles(0)
	if err := bus.ReplayDeadLetter(within(t), letters[1].Sequence); err != nil {
		t.Fatal(err)
	}
	await(t, source, list[2].Envelope().ID)
}

// raw publishes a bundle with arbitrary frames, as any client could.
func raw(t *testing.T, bus *natsbus.Bus, subject string, frames ...string) {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(strings.Join(frames, ""))
	if _, err := jetStream(t, bus).PublishMsg(within(t), m); err != nil {
		t.Fatal(err)
	}
}

func hpub(subject, header, data string) string {
	block := "NATS/1.0\r\n" + header + "\r\n"
	return fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(block), len(block)+len(data), block, data)
}

// The subject of a bundle of answers names their participant. A bundle that contains an answer of
// another participant is dead-lettered as a whole, and again after a replay. A malformed answer in
// a valid bundle does not affect the others.
func TestBundleOfOthers(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	const completed = "ce-type: " + transport.TypeCompleted + "\r\n"
	own, others := "saga.event.inventory.a.7.reserve.do.1", "saga.event.payment.a.7.charge.do.1"
	raw(t, bus, "saga.event.inventory.bundle.2", hpub(own, completed, ""), hpub(others, completed, ""))
	raw(t, bus, "saga.event.inventory.bundle.1", hpub("saga.command.inventory.reserve", completed, ""))
	raw(t, bus, "saga.event.inventory.bundle.1", hpub("saga.event.inventory.bundle.1", completed, ""))
	raw(t, bus, "saga.event.inventory.bundle.2", hpub(own, completed, ""))
	raw(t, bus, "saga.event.inventory.bundle.3", hpub(own, "ce-type: done\r\n", "{}"), hpub(own, "no header\r\n", "{}"), hpub(own, completed+"ce-id: right\r\n", "{}"))
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	right := receive(t, source, 1)[0]
	if right.Envelope().ID != "right" {
		t.Errorf("came %+v", right.Envelope())
	}
	right.Ack()
	want := []struct{ subject, reason string }{
		{"saga.event.inventory.bundle.2", `message 2 of the bundle has the subject "` + others},
		{"saga.event.inventory.bundle.1", `message 1 of the bundle has the subject "saga.command.inventory.reserve"`},
		{"saga.event.inventory.bundle.1", "3 tokens"},
		{"saga.event.inventory.bundle.2", "has 1 message, but its subject says 2"},
		{own, `"done"`},
		{own, `line 2 of the headers is not of the form name: value`},
	}
	ctx := within(t)
	var letters []transport.DeadLetter
	for len(letters) < len(want) {
		var err error
		if letters, err = bus.ListDeadLetters(ctx, 0, 20); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(letters, func(l transport.DeadLetter) bool {
			return l.Subject == w.subject && strings.Contains(l.Reason, w.reason)
		}) {
			t.Errorf("no dead letter of %s with %q", w.subject, w.reason)
		}
	}
	if t.Failed() {
		for _, l := range letters {
			t.Logf("%s: %s", l.Subject, l.Reason)
		}
	}
	if len(letters) != len(want) {
		t.Errorf("%d dead letters, want %d", len(letters), len(want))
	}
}

// The load counts messages to deliver instead of bundles.
func TestLoadOfBundles(t *testing.T) {
	bus, source, _ := bundled(t, 5, func(s *transport.Subscription) { s.MaxInFlight, s.Prefetch = 1, 1 })
	receive(t, source, 5)
	more, _ := commands(10)
	for i := range more {
		more[i].DedupID += "-more"
	}
	insist(t, bus, more[:5]...)
	insist(t, bus, more[5:]...)
	if s := counted(t, bus, 10, 5).Streams[transport.StreamCommands]; s.Messages != 15 {
		t.Errorf("%d commands on the stream, want 15", s.Messages)
	}
}

// If the server refuses a bundle because of its size, its messages are sent one by one. Only a
// message that is too large by itself is refused.
func TestBundleTooLarge(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	js := jetStream(t, bus)
	stream, err := js.Stream(within(t), bus.StreamName(transport.StreamCommands))
	if err != nil {
		t.Fatal(err)
	}
	smaller := stream.CachedInfo().Config
	smaller.MaxMsgSize = 4096
	if _, err := js.UpdateStream(within(t), smaller); err != nil {
		t.Fatal(err)
	}
	bus.ForceBundles(16)
	batch, _ := commands(4)
	for i := range batch {
		batch[i].Data = []byte(strings.Repeat("x", 2000))
	}
	batch[2].Data = []byte(strings.Repeat("x", 5000))
	errs := bus.Publish(within(t), batch)
	if len(errs) != 4 || errs[0] != nil || errs[1] != nil || errs[3] != nil || !errors.Is(errs[2], transport.ErrTooLarge) {
		t.Errorf("publish said %v", errs)
	}
	if got := lie(t, bus, transport.StreamCommands); len(got) != 3 {
		t.Errorf("%q lie on the bus", got)
	}
}
