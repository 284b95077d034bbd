package transporttest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

func (b *bench) deadLetters() transport.Source {
	return b.subscribe(transport.Subscription{Stream: transport.StreamDeadLetters, Name: "office"})
}

func nonsense(t *testing.T, b *bench) {
	key := contract.Key{Saga: "order-1", Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
	right := b.subjects.Event("inventory", key, 1)
	cases := []struct {
		name     string
		envelope transport.Envelope
		reason   string
	}{
		{"unknown type", transport.Envelope{Subject: right, Type: "com.example.other"}, "ce-type"},
		{"no type", transport.Envelope{Subject: right}, "ce-type"},
		{"a subject that says nothing", transport.Envelope{Subject: "saga.event.inventory", Type: transport.TypeCompleted}, "after event instead of 6"},
		{"attempt zero", transport.Envelope{Subject: "saga.event.inventory.order-1.7.reserve.do.0", Type: transport.TypeCompleted}, "attempt"},
		{"a foreign direction", transport.Envelope{Subject: "saga.event.inventory.order-1.7.reserve.back.1", Type: transport.TypeCompleted}, "direction"},
		{"no birth", transport.Envelope{Subject: "saga.event.inventory.order-1.reserve.do.1", Type: transport.TypeCompleted}, "tokens"},
		{"a birth with a zero in front", transport.Envelope{Subject: "saga.event.inventory.order-1.07.reserve.do.1", Type: transport.TypeCompleted}, "birth"},
		{"another birth", transport.Envelope{Subject: right, Type: transport.TypeCompleted, Birth: 8}, "contradicts"},
		{"contradiction", transport.Envelope{Subject: right, Type: transport.TypeCompleted, Saga: "order-2"}, "contradicts"},
	}
	var batch []transport.Envelope
	reasons := map[string]string{}
	for _, c := range cases {
		c.envelope.Data = []byte(c.name)
		reasons[c.name] = c.reason
		batch = append(batch, c.envelope, transport.Envelope{Subject: right, Type: transport.TypeCompleted})
	}
	source := b.subscribe(transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	dead := b.deadLetters()
	b.publish(batch...)
	delivered := b.pump(source)
	for range cases {
		letter := b.receive(dead, 1)[0]
		got, name := letter.Envelope(), string(letter.Envelope().Data)
		if got.Type != transport.TypeDead || reasons[name] == "" || !strings.Contains(got.Reason, reasons[name]) {
			t.Errorf("dead letter of type %s with data %q says %q; want a reason with %q", got.Type, name, got.Reason, reasons[name])
		}
		delete(reasons, name)
		letter.Ack()
	}
	for range cases { // the valid messages have arrived
		select {
		case e := <-delivered:
			if e.Subject != right || len(e.Data) > 0 {
				t.Errorf("%q was delivered", e.Data)
			}
		case <-time.After(wait):
			t.Fatal("a right message between the wrong ones did not come")
		}
	}
	select {
	case e := <-delivered:
		t.Errorf("%q was delivered as well", e.Data)
	default:
	}
}

// pump receives and acknowledges messages in the background until the source is closed.
func (b *bench) pump(source transport.Source) <-chan transport.Envelope {
	all := make(chan transport.Envelope, 1000)
	ctx := b.ctx()
	go func() {
		for {
			batch, err := source.Receive(ctx, 10)
			if err != nil {
				return
			}
			for _, d := range batch {
				all <- *d.Envelope()
				d.Ack()
			}
		}
	}()
	return all
}

func deadLetter(t *testing.T, b *bench) {
	b.inTime(func(b *bench, ackWait time.Duration) error {
		source := b.subscribe(impatientIf(b, ackWait))
		b.publish(b.command("inventory", 1))
		d := b.receive(source, 1)[0]
		if err := d.DeadLetter(b.ctx(), "no such action: reserve-stock"); err != nil {
			t.Fatal(err)
		}
		d.Ack() // has no effect
		got := b.receive(b.deadLetters(), 1)[0].Envelope()
		if got.Reason != "no such action: reserve-stock" || got.Subject != b.subjects.DeadLetter(transport.StreamCommands, "inventory") || string(got.Data) != `{"n":1}` {
			t.Errorf("dead letter is %+v", got)
		}
		return b.silent(source, ackWait)
	})
}

func replay(t *testing.T, b *bench) {
	office := b.bus.(transport.DeadLetterOffice)
	source := b.subscribe(inventory())
	sent := b.command("inventory", 1)
	sent.DedupID = "once"
	b.publish(sent, b.command("inventory", 2))
	for _, d := range b.receive(source, 2) {
		if err := d.DeadLetter(b.ctx(), "not now"); err != nil {
			t.Fatal(err)
		}
	}
	list := b.letters(office, 2)
	if l := list[0]; l.Stream != transport.StreamCommands || l.Subject != sent.Subject || l.Reason != "not now" || string(l.Data) != string(sent.Data) || l.Time.IsZero() {
		t.Errorf("dead letter is %+v", l)
	}
	if next, err := office.ListDeadLetters(b.ctx(), list[0].Sequence, 10); err != nil || len(next) != 1 || next[0].Sequence != list[1].Sequence {
		t.Errorf("the next page is %v, %v", next, err)
	}
	if err := office.ReplayDeadLetter(b.ctx(), list[0].Sequence); err != nil {
		t.Fatal(err)
	}
	again := b.receive(source, 1)[0]
	again.Ack()
	if got := again.Envelope(); got.ID != sent.ID || got.ReplyTo != sent.ReplyTo || string(got.Data) != string(sent.Data) {
		t.Errorf("replayed %+v", got)
	}
	if err := office.DiscardDeadLetter(b.ctx(), list[1].Sequence); err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if err := office.ReplayDeadLetter(b.ctx(), l.Sequence); !errors.Is(err, transport.ErrNoDeadLetter) {
			t.Errorf("a dead letter that is gone: %v, want ErrNoDeadLetter", err)
		}
	}
	b.nothing(source)
}

// letters waits until there are n dead letters and returns them.
func (b *bench) letters(office transport.DeadLetterOffice, n int) []transport.DeadLetter {
	for ctx := b.ctx(); ; {
		list, err := office.ListDeadLetters(ctx, 0, 1000)
		if err != nil || len(list) > n {
			b.t.Fatalf("%d dead letters, %v; want %d", len(list), err, n)
		}
		if len(list) == n {
			return list
		}
	}
}

// purge: PurgeDeadLetters removes the dead letters that match all fields of the filter. A dry run
// only counts them.
func purge(t *testing.T, b *bench) {
	office := b.bus.(transport.DeadLetterOffice)
	source := b.subscribe(transport.Subscription{Stream: transport.StreamCommands, Name: "everybody"})
	send := func(participant string, n int, reason string) {
		b.publish(b.command(participant, n))
		if err := b.receive(source, 1)[0].DeadLetter(b.ctx(), reason); err != nil {
			t.Fatal(err)
		}
	}
	send("inventory", 1, "not now")
	send("payment", 2, "not now")
	send("payment", 3, "never")
	send("inventory", 4, "never ever")
	b.letters(office, 4)
	list := b.letters(office, 4)
	last := list[3].Time
	for _, c := range []struct {
		which transport.DeadLetterFilter
		want  int
	}{
		{transport.DeadLetterFilter{}, 4},
		{transport.DeadLetterFilter{Stream: transport.StreamEvents}, 0},
		{transport.DeadLetterFilter{Stream: transport.StreamCommands, Participant: "payment"}, 2},
		{transport.DeadLetterFilter{Reason: "never"}, 2},
		{transport.DeadLetterFilter{Participant: "inventory", Reason: "never"}, 1},
		{transport.DeadLetterFilter{Before: last}, 3},
		{transport.DeadLetterFilter{Participant: "payment", Before: list[0].Time}, 0},
		{transport.DeadLetterFilter{After: list[1].Sequence}, 2},
		{transport.DeadLetterFilter{Participant: "unknown"}, 0},
	} {
		if n, next, err := office.PurgeDeadLetters(b.ctx(), c.which, true); n != c.want || next != 0 || err != nil {
			t.Errorf("%+v matches %d (next %d, %v), want %d", c.which, n, next, err, c.want)
		}
	}
	b.letters(office, 4) // the dry run has removed nothing
	for _, c := range []struct {
		which transport.DeadLetterFilter
		left  int
	}{
		{transport.DeadLetterFilter{Reason: "never ever"}, 3},
		{transport.DeadLetterFilter{Participant: "payment"}, 1},
		{transport.DeadLetterFilter{Stream: transport.StreamEvents}, 1},
		{transport.DeadLetterFilter{Before: last.Add(time.Hour)}, 0},
	} {
		before, err := office.ListDeadLetters(b.ctx(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if n, next, err := office.PurgeDeadLetters(b.ctx(), c.which, false); n != len(before)-c.left || next != 0 || err != nil {
			t.Errorf("%+v removed %d (next %d, %v), want %d", c.which, n, next, err, len(before)-c.left)
		}
		b.letters(office, c.left)
	}
}

func requests(t *testing.T, b *bench) {
	responder, requester := b.bus.(transport.Responder), b.bus.(transport.Requester)
	subject := b.subjects.API(api.MethodGet)
	stop, err := responder.Respond(subject, "coordinator", func(request *transport.Envelope, reply func(*transport.Envelope)) {
		answer := &transport.Envelope{Type: transport.TypeReply, Saga: request.Saga, Data: append([]byte("re: "), request.Data...)}
		if request.Saga == "unknown" {
			answer = &transport.Envelope{Type: transport.TypeReply, Code: string(api.CodeNotFound), Reason: "no saga \"unknown\"\n"}
		}
		go func() { // reply later and from another goroutine; the second call has no effect
			reply(answer)
			reply(&transport.Envelope{Type: transport.TypeReply, Reason: "twice"})
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(saga contract.SagaID) (*transport.Envelope, error) {
		return requester.Request(b.ctx(), &transport.Envelope{Subject: subject, Type: transport.TypeRequest, Saga: saga, Data: []byte("hello")})
	}
	if got, err := ask("order-1"); err != nil || got.Saga != "order-1" || string(got.Data) != "re: hello" || got.Code != "" {
		t.Errorf("reply %+v, %v", got, err)
	}
	if got, err := ask("unknown"); err != nil || got.Code != string(api.CodeNotFound) || got.Reason != "no saga \"unknown\"\n" {
		t.Errorf("refusal %+v, %v", got, err)
	}
	stop()
	for deadline := time.Now().Add(wait); ; {
		if _, err := ask("order-1"); errors.Is(err, transport.ErrNoResponders) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after stop: %v, want ErrNoResponders", err)
		}
	}
}

func noResponders(t *testing.T, b *bench) {
	requester := b.bus.(transport.Requester)
	_, err := requester.Request(b.ctx(), &transport.Envelope{Subject: b.subjects.API("nothing"), Type: transport.TypeRequest})
	if !errors.Is(err, transport.ErrNoResponders) {
		t.Errorf("%v, want ErrNoResponders", err)
	}
	silent, err := b.bus.(transport.Responder).Respond(b.subjects.API("silent"), "q", func(*transport.Envelope, func(*transport.Envelope)) {})
	if err != nil {
		t.Fatal(err)
	}
	defer silent()
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if _, err := requester.Request(ctx, &transport.Envelope{Subject: b.subjects.API("silent"), Type: transport.TypeRequest}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

func receiveContext(t *testing.T, b *bench) {
	source := b.subscribe(inventory())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	b.nothing(source)
	b.publish(b.command("inventory", 1))
	b.take(source, 1)
}

func receiveClose(t *testing.T, b *bench) {
	source := b.subscribe(inventory())
	ended := make(chan error, 1)
	go func() {
		_, err := source.Receive(context.WithoutCancel(t.Context()), 1)
		ended <- err
	}()
	source.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, transport.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	case <-time.After(wait):
		t.Fatal("Receive goes on although the source is closed")
	}
	if err := source.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := source.Receive(t.Context(), 1); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

func publishContext(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := b.bus.Publish(ctx, []transport.Envelope{b.command("inventory", 1)})
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("%v, want Canceled", errs)
	}
}

func closedBus(t *testing.T, b *bench) {
	source := b.subscribe(inventory())
	b.f.Close(t, b.bus)
	if _, err := source.Receive(t.Context(), 1); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("receive: %v, want ErrClosed", err)
	}
	errs := b.bus.Publish(t.Context(), []transport.Envelope{b.command("inventory", 1)})
	if len(errs) != 1 || !errors.Is(errs[0], transport.ErrClosed) {
		t.Errorf("publish: %v, want ErrClosed", errs)
	}
	if _, err := b.bus.Subscribe(t.Context(), inventory()); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("subscribe: %v, want ErrClosed", err)
	}
	b.f.Close(t, b.bus)
}

func loss(t *testing.T, b *bench) {
	source := b.subscribe(inventory())
	first := b.command("inventory", 1)
	first.DedupID = "one"
	b.publish(first, b.command("inventory", 2))
	select {
	case <-b.bus.Resets():
		t.Fatal("Resets signals before anything was lost")
	default:
	}
	held := b.receive(source, 1)
	b.f.Lose(t, b.bus)
	select {
	case <-b.bus.Resets():
	case <-time.After(wait):
		t.Fatal("Resets does not signal")
	}
	held[0].Ack() // has no effect after the loss
	third := b.command("inventory", 3)
	b.publish(first, third) // the bus has forgotten the deduplication id as well
	seen := map[string]bool{}
	for !seen[first.ID] || !seen[third.ID] {
		for _, id := range b.take(source, 1) {
			seen[id] = true
		}
	}
}
