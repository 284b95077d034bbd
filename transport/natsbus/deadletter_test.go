package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/transporttest"
)

// answers returns a coordinator's subscription.
func answers() transport.Subscription {
	return transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"}
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := within(t); !holds(); {
		if ctx.Err() != nil {
			t.Fatalf("waited for: %s", what)
		}
		<-time.After(time.Millisecond) // let other goroutines run
	}
}

// unsaid waits until no message of the coordinator's consumer is unacknowledged.
func unsaid(t *testing.T, bus *natsbus.Bus) {
	t.Helper()
	awaitEmpty(t, bus, transport.StreamEvents)
	eventually(t, "nothing waits to be acknowledged", func() bool {
		c, err := jetStream(t, bus).Consumer(within(t), bus.StreamName(transport.StreamEvents), "coordinator")
		return err == nil && c.CachedInfo().NumAckPending == 0
	})
}

// closeDeadLetters makes the stream of dead letters refuse all messages until open is called.
func closeDeadLetters(t *testing.T, bus *natsbus.Bus) (open func()) {
	t.Helper()
	js := jetStream(t, bus)
	stream, err := js.Stream(within(t), bus.StreamName(transport.StreamDeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	closed := config
	closed.Subjects = []string{"closed.for.now"}
	if _, err := js.UpdateStream(within(t), closed); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
}

// A message is dead-lettered even if its header is not valid in a dead letter. A valid answer
// behind thousands of such messages is received. Their participant has no more dead letters than it
// may have (I9, I10).
func TestPoisonOfOneParticipant(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, answers())
	wire := connected(t, server)
	const flood = 4096 + natsbus.LetterBurst
	for range flood {
		wire.hpub("saga.event.payment.order-1.7.charge.do.1", "", "NATS/1.0\r\nRequest Id: 7\r\n\r\n", "poison")
	}
	wire.hpub("saga.event.stock.order-1.7.reserve.do.1", "", "NATS/1.0\r\nce-type: nonsense\r\n\r\n", "a neighbour's")
	wire.flush(t)
	insist(t, bus, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	await(t, source, "order-1/7/reserve/do/1")
	unsaid(t, bus)
	s := bus.Stats()
	if s.DeadLettered < natsbus.LetterBurst/2 || s.DeadLettered+s.DeadOverRate+s.DeadUnstored != flood+1 || s.DeadOverRate == 0 {
		t.Errorf("%+v; want %d moved at first, then as many as the rate allows, and the rest terminated and counted", s, natsbus.LetterBurst)
	}
	list, err := bus.ListDeadLetters(within(t), 0, 10*flood)
	if err != nil || int64(len(list)) != s.DeadLettered {
		t.Fatalf("%d dead letters, %v; want %d", len(list), err, s.DeadLettered)
	}
	neighbours := 0
	for _, l := range list {
		if string(l.Data) == "a neighbour's" {
			neighbours++
		} else if string(l.Data) != "poison" || l.Header["Request Id"][0] != "7" {
			t.Fatalf("dead letter %+v", l)
		}
	}
	if neighbours != 1 {
		t.Errorf("the neighbour has %d dead letters, want 1", neighbours)
	}
}

// While dead letters cannot be stored, each message gets three tries. After that it is terminated,
// counted, and logged with its first bytes. In the meantime valid messages are received, and no
// message is redelivered for ever (I9, I10).
func TestDeadLettersUnavailable(t *testing.T) {
	defer natsbus.SetLetterPause(50 * time.Millisecond)()
	server := start(t, embedded.Config{})
	owner := connect(t, server, nil) // creates the streams
	var log notes
	verify := connect(t, server, func(c *natsbus.Config) {
		c.Provision, c.CheckInterval, c.Logger = natsbus.ProvisionVerify, time.Hour, slog.New(slog.NewTextHandler(&log, nil))
	})
	open := closeDeadLetters(t, owner)
	source := subscribe(t, verify, answers())
	nonsense := "nonsense \x00\x1b[2J" + strings.Repeat("x", 300)
	if _, err := jetStream(t, owner).Publish(within(t), answer, []byte(nonsense)); err != nil {
		t.Fatal(err)
	}
	insist(t, owner, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	await(t, source, "order-1/7/reserve/do/1")
	unsaid(t, verify)
	if s := verify.Stats(); s.DeadUnstored != 1 || s.DeadLetterFailed != 3 || s.DeadLettered != 0 {
		t.Errorf("%+v; want three tries, and one that is not kept", s)
	}
	said := log.String()
	if !strings.Contains(said, `data="nonsense ..[2Jxxx`) || strings.Contains(said, strings.Repeat("x", 257)) || !strings.Contains(said, "participant=inventory") {
		t.Errorf("the log says %s; want whose message it was, and its first 256 bytes without control characters", said)
	}
	open()
	if _, err := jetStream(t, owner).Publish(within(t), answer, []byte("more nonsense")); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); verify.Stats().DeadLettered == 0; { // a process must receive the messages meanwhile
		if _, err := source.Receive(first(ctx, 20*time.Millisecond), 10); ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	unsaid(t, verify)
}

// first returns a context that bounds one of several calls.
func first(ctx context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// notes is a log that can be read concurrently.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// Earlier deliveries count as tries. A message that was delivered to a crashed coordinator has
// fewer tries left, and the third delivery is the last (I10).
func TestTriesAcrossRestarts(t *testing.T) {
	defer natsbus.SetLetterPause(20 * time.Millisecond)()
	server := start(t, embedded.Config{})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, answers())
	insist(t, bus, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	for range 2 {
		receive(t, source, 1)[0].Nak(0)
	}
	d := receive(t, source, 1)[0]
	if d.Redeliveries() != 2 {
		t.Fatalf("it came %d times before", d.Redeliveries())
	}
	defer closeDeadLetters(t, connect(t, server, func(c *natsbus.Config) { c.Provision = natsbus.ProvisionAsk }))()
	if err := d.DeadLetter(within(t), "no such saga"); err != nil {
		t.Fatal(err)
	}
	d.Ack() // has no effect, because the message is being dead-lettered
	d.Nak(0)
	unsaid(t, bus)
	if s := bus.Stats(); s.DeadUnstored != 1 || s.DeadLetterFailed != 1 {
		t.Errorf("%+v; want one try", s)
	}
}

// If a participant's dead letters exceed their share of the stream, its own oldest ones are deleted
// and counted. No other participant loses any (I10).
func TestRings(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, func(c *natsbus.Config) { c.DeadBytes, c.CheckInterval = 8<<20, 50*time.Millisecond })
	source := subscribe(t, bus, answers())
	pump(t, source)
	wire := connected(t, server)
	wire.pub("saga.event.stock.order-1.7.reserve.do.1", "", "the neighbour's")
	const n, size = 300, 32 << 10 // together more than the stream may hold
	for i := range n {
		wire.pub("saga.event.payment.order-1.7.charge.do.1", "", fmt.Sprintf("%04d", i)+strings.Repeat("x", size))
		if i%20 == 19 { // publish at most as many as may wait
			wire.flush(t)
			awaitEmpty(t, bus, transport.StreamEvents)
		}
	}
	wire.flush(t)
	unsaid(t, bus)
	if s := bus.Stats(); s.DeadLettered != n+1 {
		t.Fatalf("%+v; want %d dead letters", s, n+1)
	}
	const ring = 8 << 20 / 8
	var mine []transport.DeadLetter
	neighbours := 0
	eventually(t, "the ring is as large as it may be, and what is gone is counted", func() bool {
		list, err := bus.ListDeadLetters(within(t), 0, 10*n)
		if err != nil {
			t.Fatal(err)
		}
		mine, neighbours = nil, 0
		for _, l := range list {
			if string(l.Data) == "the neighbour's" {
				neighbours++
			} else {
				mine = append(mine, l)
			}
		}
		return len(mine)*size <= ring && bus.Stats().DeadEvicted == int64(n-len(mine))
	})
	if last := mine[len(mine)-1]; len(mine)*size < ring/2 || !strings.HasPrefix(string(last.Data), fmt.Sprintf("%04d", n-1)) || neighbours != 1 {
		t.Errorf("the participant has %d dead letters of %d bytes, the last %.4s; its neighbour has %d; want the newest, about 1 MiB of them, and 1", len(mine), size, last.Data, neighbours)
	}
}

// The share is measured by the content of the stream. Discarded dead letters do not count, and a
// restarted coordinator counts the existing ones.
func TestRingsAreReadAnew(t *testing.T) {
	server := start(t, embedded.Config{})
	config := func(c *natsbus.Config) { c.DeadBytes, c.CheckInterval = 8<<20, 50*time.Millisecond }
	bus := connect(t, server, config)
	source := subscribe(t, bus, answers())
	pump(t, source)
	fill := func(bus *natsbus.Bus, n int) {
		for range n {
			if _, err := jetStream(t, bus).Publish(within(t), answer, make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
		}
		awaitEmpty(t, bus, transport.StreamEvents)
	}
	left := func(bus *natsbus.Bus) int {
		list, err := bus.ListDeadLetters(within(t), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	fill(bus, 20)
	list, err := bus.ListDeadLetters(within(t), 0, 100)
	if err != nil || len(list) != 20 {
		t.Fatalf("%d dead letters, %v", len(list), err)
	}
	for _, l := range list[5:] { // the newest ones, so that no old one must be deleted
		if err := bus.DiscardDeadLetter(within(t), l.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	fill(bus, 20) // would exceed the share if discarded dead letters counted
	eventually(t, "they were looked at", func() bool { return bus.Looked() })
	again := connect(t, server, config)
	pump(t, subscribe(t, again, answers()))
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if n := left(again); n != 25 || bus.Stats().DeadEvicted != 0 {
		t.Fatalf("%d dead letters are left of 25 that have room", n)
	}
	fill(again, 20)
	eventually(t, "the oldest are deleted, and counted", func() bool {
		n := left(again)
		return n < 32 && again.Stats().DeadEvicted == int64(45-n)
	})
	if n := left(again); n < 20 {
		t.Errorf("%d dead letters are left, want as many as 1 MiB holds", n)
	}
}

// pump acknowledges deliveries until the source is closed.
func pump(t *testing.T, source transport.Source) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { _ = source.Close(); <-done })
	go func() {
		defer close(done)
		for {
			batch, err := source.Receive(context.Background(), 100)
			if err != nil {
				return
			}
			for _, d := range batch {
				d.Ack()
			}
		}
	}()
}

// A replay restores a message's headers. It omits headers that control the server and those of dead
// letters, in any spelling (I9).
func TestReplayRestoresNoControlHeaders(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, answers())
	wire := connected(t, server)
	block := "NATS/1.0\r\nce-type: dev.amends.completed.v1\r\nX-Trace: a\r\nX-Trace: b\r\nRequest Id: 7\r\nnAtS-Rollup: all\r\nNats-Msg-Id: once\r\n" +
		"NATS-Expected-Last-Sequence: 0\r\nDead-Stream: commands\r\nSTATUS: 409\r\ndescription: Consumer Deleted\r\n\r\n"
	wire.hpub(answer, "", block, `{"a":1}`)
	wire.flush(t)
	if err := receive(t, source, 1)[0].DeadLetter(within(t), "no such saga"); err != nil {
		t.Fatal(err)
	}
	unsaid(t, bus)
	list, err := bus.ListDeadLetters(within(t), 0, 10)
	if err != nil || len(list) != 1 || len(list[0].Header) != 9 {
		t.Fatalf("dead letters %+v, %v", list, err)
	}
	heard, err := bus.Conn().SubscribeSync(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.ReplayDeadLetter(within(t), list[0].Sequence); err != nil {
		t.Fatal(err)
	}
	m, err := heard.NextMsgWithContext(within(t))
	if err != nil {
		t.Fatal(err)
	}
	id := m.Header.Get("Nats-Msg-Id") // the deduplication id of the replay
	delete(m.Header, "Nats-Msg-Id")
	if len(m.Header) != 2 || m.Header.Get("ce-type") != transport.TypeCompleted || strings.Join(m.Header["X-Trace"], "") != "ab" || !strings.HasPrefix(id, "replay-") {
		t.Errorf("replayed with %v and the id %s", m.Header, id)
	}
	await(t, source, "order-1/7/reserve/do/1")
}

// A subject with a carriage return is one token for the server and two tokens for the client, which
// closes the connection. On connections of the bus, with and without a network, such a message is
// dead-lettered. On a caller's connection it is terminated after one reconnect, instead of causing
// a reconnect at every redelivery (I9).
func TestSubjectThatBreaksConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		bus    func(*testing.T, *embedded.Server) *natsbus.Bus
		stored int64
	}{
		{"over the network", func(t *testing.T, s *embedded.Server) *natsbus.Bus { return connect(t, s, nil) }, 3},
		{"in the process", func(t *testing.T, s *embedded.Server) *natsbus.Bus {
			return connect(t, s, func(c *natsbus.Config) { c.Options = append(c.Options, s.InProcess()) })
		}, 3},
		{"on the caller's connection", func(t *testing.T, s *embedded.Server) *natsbus.Bus {
			nc, err := natstest.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			bus, err := natsbus.New(within(t), nc, natsbus.Config{Provision: natsbus.ProvisionCreate, CheckInterval: 200 * time.Millisecond, QueueBytes: 1 << 20, LifecycleBytes: 1 << 20, DeadBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bus.Close() })
			return bus
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t, embedded.Config{Port: -1})
			bus := c.bus(t, server)
			wire := connected(t, server)
			wire.pub("saga.event.inventory.a\rb", "", "poison")
			wire.hpub("saga.event.inventory.order-1\r.7.reserve.do.1", "", "NATS/1.0\r\nce-type: dev.amends.completed.v1\r\n\r\n", "poison")
			wire.hpub("saga.event.inventory.\r\r.bundle.1", "", "NATS/1.0\r\n\r\n", "poison")
			wire.flush(t)
			insist(t, bus, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
			sub := answers()
			sub.AckWait = time.Second // messages in flight on the lost connection are redelivered
			await(t, subscribe(t, bus, sub), "order-1/7/reserve/do/1")
			unsaid(t, bus)
			if s := bus.Stats(); s.DeadLettered != c.stored || s.DeadUnstored != 3-c.stored || c.stored > 0 && s.Reconnects > 0 {
				t.Errorf("%+v; want %d dead letters of 3", s, c.stored)
			}
		})
	}
}

// An invalid participant name is not used in a subject (I10).
func TestOriginsAreBounded(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, answers())
	wire := connected(t, server)
	for i := range 50 {
		wire.pub(fmt.Sprintf("saga.event.P%d.order-1.7.reserve.do.1", i), "", "x")
	}
	wire.pub("saga.event.\x01\xff.%", "", "x")
	wire.pub("saga.event.stock.x", "", "x")
	wire.hpub(answer, "", "NATS/1.0\r\nce-type: dev.amends.completed.v1\r\n\r\n", "")
	wire.flush(t)
	await(t, source, "order-1/7/reserve/do/1")
	unsaid(t, bus)
	stream, err := jetStream(t, bus).Stream(within(t), bus.StreamName(transport.StreamDeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(within(t), jetstream.WithSubjectFilter(">"))
	if err != nil || len(info.State.Subjects) != 2 || info.State.Subjects["saga.dead.events.unknown"] != 51 || info.State.Subjects["saga.dead.events.stock"] != 1 {
		t.Errorf("the subjects are %v, %v", info.State.Subjects, err)
	}
	list, err := bus.ListDeadLetters(within(t), 50, 1)
	if err != nil || len(list) != 1 || list[0].Subject != "saga.event.\x01\xff.%" {
		t.Errorf("%+v, %v; want the subject as it was", list, err)
	}
}

// A poisoned command is terminated by its participant, which may not write dead letters.
func TestPoisonedCommand(t *testing.T) {
	defer natsbus.SetLetterPause(20 * time.Millisecond)()
	users := start(t, embedded.Config{Port: -1, UsersFile: usersFile(t), Account: natsbus.Account})
	owner := connect(t, users, asOwner)
	transporttest.ServeSubscriptions(t, owner)
	participant := connect(t, users, func(c *natsbus.Config) {
		c.User, c.Password, c.Provision, c.InboxPrefix = "inventory", "inventory", natsbus.ProvisionAsk, natsbus.InboxPrefix("inventory")
		c.PublishTimeout = 100 * time.Millisecond // the server does not answer a publish without permission
	})
	source := subscribe(t, participant, inventory())
	if _, err := jetStream(t, owner).Publish(within(t), "saga.command.inventory.reserve-stock", []byte("poison")); err != nil {
		t.Fatal(err)
	}
	insist(t, owner, command("1"))
	await(t, source, "1")
	awaitEmpty(t, owner, transport.StreamCommands)
	if s := participant.Stats(); s.DeadUnstored != 1 || s.Reconnects != 0 {
		t.Errorf("%+v; want one that is not kept, and the same connection", s)
	}
}

// Close waits until pending dead letters are stored.
func TestCloseMovesDeadLetters(t *testing.T) {
	server := start(t, embedded.Config{})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, answers())
	batch := make([]transport.Envelope, 100)
	for i := range batch {
		batch[i] = transport.Envelope{Subject: fmt.Sprintf("saga.event.inventory.order-%d.7.reserve.do.1", i), Type: transport.TypeCompleted}
	}
	insist(t, bus, batch...)
	list := receive(t, source, len(batch))
	for _, d := range list {
		if err := d.DeadLetter(within(t), "no such saga"); err != nil {
			t.Fatal(err)
		}
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	again := connect(t, server, nil)
	letters, err := again.ListDeadLetters(within(t), 0, 1000)
	if err != nil || len(letters) != len(batch) {
		t.Errorf("%d dead letters, %v; want %d", len(letters), err, len(batch))
	}
	if err := list[0].DeadLetter(within(t), "again"); err != nil { // the message is already acknowledged
		t.Error(err)
	}
	late := natsbus.Late(source)
	if err := late.DeadLetter(within(t), "too late"); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// A bus without permission to write dead letters can be closed during a write, although the server
// never answers that write. The message is redelivered.
func TestCloseDespiteALetter(t *testing.T) {
	t.Parallel()
	users := start(t, embedded.Config{Port: -1, UsersFile: usersFile(t), Account: natsbus.Account})
	owner := connect(t, users, asOwner)
	transporttest.ServeSubscriptions(t, owner)
	tried := make(chan struct{}, 1)
	participant := connect(t, users, func(c *natsbus.Config) {
		c.User, c.Password, c.InboxPrefix = "inventory", "inventory", natsbus.InboxPrefix("inventory")
		c.Provision = natsbus.ProvisionAsk
		c.PublishTimeout = time.Hour
		c.Options = append(c.Options, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if strings.Contains(strings.ToLower(err.Error()), `publish to "saga.dead.`) {
				select {
				case tried <- struct{}{}:
				default:
				}
			}
		}))
	})
	pump(t, subscribe(t, participant, inventory()))
	_, err := jetStream(t, owner).Publish(within(t), "saga.command.inventory.reserve-stock", []byte("poison"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-tried:
	case <-within(t).Done():
		t.Fatal("the server has refused no dead letter")
	}
	closed := make(chan error, 1)
	go func() { closed <- participant.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-within(t).Done():
		t.Fatal("the bus is not closed")
	}
}

// A message is kept unchanged if only its subject looks like that of a bundle.
func TestDeadLetterOfWhatIsNoBundle(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, answers())
	m := nats.NewMsg("saga.event.inventory.bundle.2")
	m.Header.Set("x", "y")
	m.Data = []byte("HPUB")
	if _, err := jetStream(t, bus).PublishMsg(within(t), m); err != nil {
		t.Fatal(err)
	}
	insist(t, bus, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	await(t, source, "order-1/7/reserve/do/1")
	unsaid(t, bus)
	list, err := bus.ListDeadLetters(within(t), 0, 10)
	if err != nil || len(list) != 1 || list[0].Subject != m.Subject || list[0].Header["x"][0] != "y" {
		t.Errorf("%+v, %v", list, err)
	}
}

// A purge of many dead letters works page by page. It removes matches on all pages.
func TestPurgeGoesOn(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	const n = 2*natsbus.PurgePage + 100
	batch := make([]transport.Envelope, n)
	for i := range batch {
		batch[i] = transport.Envelope{Subject: "saga.dead.events.payment", Type: transport.TypeDead, Reason: "odd"}
		if i%2 == 0 {
			batch[i].Reason = "even"
		}
	}
	insist(t, bus, batch...)
	calls, sum := 0, 0
	for which := (transport.DeadLetterFilter{Reason: "even"}); calls == 0 || which.After > 0; calls++ {
		matched, next, err := bus.PurgeDeadLetters(within(t), which, false)
		if err != nil || calls > 5 {
			t.Fatalf("call %d: %v", calls, err)
		}
		sum += matched
		which.After = next
	}
	if sum != n/2 || calls != 3 {
		t.Errorf("%d removed in %d calls, want %d in 3", sum, calls, n/2)
	}
	if left, _, err := bus.PurgeDeadLetters(within(t), transport.DeadLetterFilter{}, false); left != n/2 || err != nil {
		t.Errorf("%d were left, %v; want %d", left, err, n/2)
	}
}
