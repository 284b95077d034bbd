package transporttest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

func everyAttribute(t *testing.T, b *bench) {
	at := time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC)
	want := b.command("inventory", 7)
	want.DedupID = "d7"
	want.Time, want.Expires = at, at.Add(time.Minute)
	want.ContentType = "application/json; charset=utf-8"
	want.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	want.TraceState = "vendor=a,other=b"
	want.Definition = contract.DefinitionRef{Name: "checkout", Version: 3}
	want.Reason = "50 % \"off\"\r\nsays Grüße ✓\x00\t"
	want.Final = true
	want.Code = "not_found"
	want.RetryAfter = 1500 * time.Millisecond
	want.Data = []byte("\x00\xff not JSON \r\n")
	source := b.subscribe(inventory())
	b.publish(want)
	got := *b.receive(source, 1)[0].Envelope()
	got.DedupID = want.DedupID // internal to the bus
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the envelope changed on its way (-sent +received):\n%s", diff)
	}
}

func order(t *testing.T, b *bench) {
	batch, ids := b.commands("inventory", 200)
	source := b.subscribe(inventory())
	b.publish(batch...)
	if diff := cmp.Diff(ids, b.take(source, len(ids))); diff != "" {
		t.Errorf("order (-sent +received):\n%s", diff)
	}
}

func callersAgain(_ *testing.T, b *bench) {
	batch, ids := b.commands("inventory", 20)
	source := b.subscribe(inventory())
	b.publish(batch...)
	clear(batch)
	b.same("what was published before the batch was used for something else", ids, b.take(source, len(ids)))
}

func batches(t *testing.T, b *bench) {
	batch, _ := b.commands("inventory", 100)
	source := b.subscribe(inventory())
	b.publish(batch...)
	largest := 0
	ctx := b.ctx()
	for n := 0; n < len(batch); {
		got, err := source.Receive(ctx, 40)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 40 {
			t.Fatalf("received %d deliveries, at most 40 were asked for", len(got))
		}
		n += len(got)
		largest = max(largest, len(got))
		for _, d := range got {
			d.Ack()
		}
	}
	if largest < 2 {
		t.Errorf("the largest of the batches had %d deliveries", largest)
	}
}

func filters(t *testing.T, b *bench) {
	stock := b.subscribe(inventory())
	money := b.subscribe(transport.Subscription{Stream: transport.StreamCommands, Name: "payment", Subjects: []string{b.subjects.Commands("payment")}})
	b.publish(b.command("payment", 1), b.command("inventory", 2))
	if got := b.receive(stock, 1)[0]; got.Envelope().Saga != "order-2" {
		t.Errorf("inventory received %s", got.Envelope().Saga)
	}
	if got := b.receive(money, 1)[0]; got.Envelope().Saga != "order-1" {
		t.Errorf("payment received %s", got.Envelope().Saga)
	}
	b.nothing(stock)
}

func errorPerEnvelope(t *testing.T, b *bench) {
	batch, ids := b.commands("inventory", 5)
	batch[1].Subject = "elsewhere.command.x.y"
	batch[3].Subject = "saga.command.inventory.*"
	errs := b.bus.Publish(b.ctx(), batch)
	if len(errs) != 5 || errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] == nil || errs[4] != nil {
		t.Fatalf("errors are %v; want one for the second and the fourth envelope", errs)
	}
	source := b.subscribe(inventory())
	want := []string{ids[0], ids[2], ids[4]}
	b.same("the others", want, b.take(source, 3))
}

func bareAnswer(t *testing.T, b *bench) {
	key := contract.Key{Saga: "order-42", Birth: 7, Step: "charge-card", Direction: contract.DirectionUndo}
	source := b.subscribe(transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	b.publish(transport.Envelope{Subject: b.subjects.Event("payment", key, 3), Type: transport.TypeCompleted, Data: []byte(`{}`)})
	got := b.receive(source, 1)[0].Envelope()
	if got.Saga != key.Saga || got.Step != key.Step || got.Direction != key.Direction || got.Attempt != 3 {
		t.Errorf("the answer is to %s %s %s %d, want what its subject says", got.Saga, got.Step, got.Direction, got.Attempt)
	}
	if got.ID != "order-42/7/charge-card/undo/3" {
		t.Errorf("id %q", got.ID)
	}
}

func impatient(ackWait time.Duration) transport.Subscription {
	s := inventory()
	s.AckWait = ackWait
	return s
}

func ackEnds(_ *testing.T, b *bench) {
	b.inTime(func(b *bench, ackWait time.Duration) error {
		source := b.subscribe(impatient(ackWait))
		b.publish(b.command("inventory", 1))
		b.receive(source, 1)[0].Ack()
		return b.silent(source, 2*ackWait)
	})
}

func ackWait(t *testing.T, b *bench) {
	b.inTime(func(b *bench, ackWait time.Duration) error {
		source := b.subscribe(impatient(ackWait))
		b.publish(b.command("inventory", 1))
		first := b.receive(source, 1)[0]
		again := b.receive(source, 1)[0]
		if first.Redeliveries() != 0 || again.Redeliveries() != 1 {
			t.Errorf("redeliveries are %d and %d, want 0 and 1", first.Redeliveries(), again.Redeliveries())
		}
		if first.Envelope().ID != again.Envelope().ID {
			t.Errorf("another message came: %s", again.Envelope().ID)
		}
		again.Ack()
		return b.silent(source, ackWait)
	})
}

func inProgress(_ *testing.T, b *bench) {
	b.inTime(func(b *bench, ackWait time.Duration) error {
		source := b.subscribe(impatient(2 * ackWait))
		b.publish(b.command("inventory", 1))
		d := b.receive(source, 1)[0]
		for range 5 { // longer than AckWait in total
			if err := b.silent(source, ackWait/2); err != nil {
				return err
			}
			d.InProgress()
		}
		d.Ack()
		return b.silent(source, ackWait)
	})
}

func nak(t *testing.T, b *bench) {
	source := b.subscribe(inventory())
	b.publish(b.command("inventory", 1))
	b.receive(source, 1)[0].Nak(0)
	again := b.receive(source, 1)[0]
	if _, lacks := b.f.Lacks[Redeliveries]; !lacks && again.Redeliveries() != 1 {
		t.Errorf("redeliveries are %d, want 1", again.Redeliveries())
	}
	again.Ack()
	b.nothing(source)
}

func nakDelay(_ *testing.T, b *bench) {
	b.inTime(func(b *bench, delay time.Duration) error {
		source := b.subscribe(inventory())
		b.publish(b.command("inventory", 1))
		b.receive(source, 1)[0].Nak(2 * delay)
		if err := b.silent(source, delay); err != nil {
			return err
		}
		b.receive(source, 1)[0].Ack()
		return nil
	})
}

// takenIn: messages that were acknowledged, returned or dead-lettered are taken in. Later messages
// have no influence.
func takenIn(t *testing.T, b *bench) {
	source := b.subscribe(transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator", AckWait: wait})
	tracker, ok := source.(transport.Tracker)
	if !ok {
		t.Fatalf("%T is no transport.Tracker", source)
	}
	ask := func(newest uint64) bool {
		t.Helper()
		done, err := tracker.TakenIn(b.ctx(), newest)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	newest := func() uint64 {
		t.Helper()
		place, err := tracker.Newest(b.ctx())
		if err != nil {
			t.Fatal(err)
		}
		return place
	}
	if place := newest(); place != 0 || !ask(place) {
		t.Errorf("the stream is empty: Newest returned %d, TakenIn returned %t", place, ask(place))
	}
	answer := func(i int) transport.Envelope {
		key := contract.Key{Saga: contract.SagaID(fmt.Sprintf("order-%d", i)), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
		return transport.Envelope{Subject: b.subjects.Event("inventory", key, 1), Type: transport.TypeCompleted, Saga: key.Saga}
	}
	b.publish(answer(1), answer(2), answer(3), answer(4))
	place := newest()
	if place == 0 || ask(place) {
		t.Errorf("four messages are pending: Newest returned %d, TakenIn returned %t", place, ask(place))
	}
	b.publish(answer(5))
	got := b.receive(source, 5)
	slices.SortFunc(got, func(x, y transport.Delivery) int {
		return strings.Compare(string(x.Envelope().Saga), string(y.Envelope().Saga))
	})
	got[0].Nak(wait)
	got[2].Nak(wait)
	got[3].Ack()
	if ask(place) {
		t.Error("TakenIn returned true while a delivery was in flight")
	}
	if err := got[1].DeadLetter(b.ctx(), "not wanted"); err != nil {
		t.Fatal(err)
	}
	for ctx := b.ctx(); !ask(place); { // the bus learns about the acknowledgements asynchronously
		if ctx.Err() != nil {
			t.Fatal("TakenIn never returned true, although two deliveries were nacked, one was acked and one was dead-lettered")
		}
	}
	if place = newest(); ask(place) {
		t.Error("TakenIn returned true while a later delivery was in flight, after earlier ones were nacked")
	}
}

func sharing(t *testing.T, b *bench) {
	one, two := b.subscribe(inventory()), b.subscribe(inventory())
	batch, ids := b.commands("inventory", 50)
	b.publish(batch...)
	got := make(chan string, 2*len(ids))
	for _, source := range []transport.Source{one, two} {
		go func() {
			for {
				list, err := source.Receive(b.t.Context(), 3)
				if err != nil {
					return
				}
				for _, d := range list {
					d.Ack()
					got <- d.Envelope().ID
				}
			}
		}()
	}
	seen := map[string]int{}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for range ids {
		select {
		case id := <-got:
			seen[id]++
		case <-deadline.C:
			t.Fatalf("only %d of %d messages came", len(seen), len(ids))
		}
	}
	one.Close()
	two.Close()
	if len(seen) != len(ids) {
		t.Errorf("%d different messages, want %d: some came twice", len(seen), len(ids))
	}
}

func continuing(t *testing.T, b *bench) {
	batch, ids := b.commands("inventory", 20)
	source := b.subscribe(inventory())
	b.publish(batch...)
	seen := map[string]bool{}
	for _, id := range b.take(source, 8) {
		seen[id] = true
	}
	b.receive(source, 1) // not acknowledged, so that it is redelivered
	source.Close()
	second := b.subscribe(impatientIf(b, quiet))
	for len(seen) < len(ids) { // unacknowledged messages are delivered twice
		for _, id := range b.take(second, 1) {
			seen[id] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(ids)), slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("across the two sources (-want +got):\n%s", diff)
	}
}

// impatientIf returns a subscription with a short AckWait if the bus supports one, so that messages
// that a closed source has not acknowledged are soon redelivered.
func impatientIf(b *bench, ackWait time.Duration) transport.Subscription {
	if _, lacks := b.f.Lacks[AckWait]; lacks {
		return inventory()
	}
	return impatient(ackWait)
}

func inFlight(t *testing.T, b *bench) {
	s := inventory()
	s.MaxInFlight = 3
	source := b.subscribe(s)
	batch, _ := b.commands("inventory", 5)
	b.publish(batch...)
	held := b.receive(source, 3)
	b.nothing(source)
	held[1].Ack()
	b.receive(source, 1)
	b.nothing(source)
}

func dedup(t *testing.T, b *bench) {
	one, two := b.command("inventory", 1), b.command("inventory", 2)
	one.DedupID, two.DedupID = "same", "same"
	source := b.subscribe(inventory())
	b.publish(one, two)
	b.publish(one)
	if got := b.take(source, 1); got[0] != one.ID {
		t.Errorf("received %s, want the first", got[0])
	}
	b.nothing(source)
}

func tooLarge(t *testing.T, b *bench) {
	big, small := b.command("inventory", 1), b.command("inventory", 2)
	big.Data = []byte(strings.Repeat("x", 2<<20))
	errs := b.bus.Publish(b.ctx(), []transport.Envelope{big, small})
	if len(errs) != 2 || !errors.Is(errs[0], transport.ErrTooLarge) || errs[1] != nil {
		t.Fatalf("errors are %v, want ErrTooLarge and nil", errs)
	}
	b.take(b.subscribe(inventory()), 1)
}

func lifecycle(t *testing.T, b *bench) {
	sub := func(name string) transport.Source {
		return b.subscribe(transport.Subscription{Stream: transport.StreamLifecycle, Name: name})
	}
	one, two := sub("one"), sub("two")
	for i := range 3 {
		b.publish(transport.Envelope{Subject: b.subjects.Lifecycle("checkout", string(contract.PhaseCompleted)), Type: transport.TypeLifecycle, ID: fmt.Sprint(i), Saga: "order-1"})
	}
	for _, source := range []transport.Source{one, two} {
		b.same("announcements", []string{"0", "1", "2"}, b.take(source, 3))
	}
}

func ephemeral(t *testing.T, b *bench) {
	announce := func(id string) {
		b.publish(transport.Envelope{Subject: b.subjects.Lifecycle("checkout", string(contract.PhaseCompleted)), Type: transport.TypeLifecycle, ID: id})
	}
	announce("old")
	source := b.subscribe(transport.Subscription{Stream: transport.StreamLifecycle, Name: "watch", Ephemeral: true})
	announce("new")
	if got := b.take(source, 1); got[0] != "new" {
		t.Errorf("received %q first, want what came after subscribing", got[0])
	}
}
