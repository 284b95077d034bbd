package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

const (
	killedDir    = "AMENDS_TEST_KILLED_DIR"    // data directory of the child
	killedListen = "AMENDS_TEST_KILLED_LISTEN" // address of the child's NATS server
)

// trip is a saga of four steps at three participants. Its timeouts are longer than the test, so
// that nothing is repaired by a timeout.
func trip(t *testing.T) *saga.Definition {
	t.Helper()
	step := func(name, kind, who, undo string) string {
		return fmt.Sprintf(`{"step":{"name":%q,"kind":%q,"do":{"participant":%q,"action":%[1]q,"timeout":"1h"}%[4]s}}`, name, kind, who, undo)
	}
	undo := func(who, action string) string {
		return fmt.Sprintf(`,"undo":{"participant":%q,"action":%q,"timeout":"1h"}`, who, action)
	}
	d, err := saga.ParseJSON([]byte(`{"name":"trip","version":1,"steps":[` + strings.Join([]string{
		step("room", "compensable", "hotel", undo("hotel", "free")), step("pay", "compensable", "bank", undo("bank", "repay")),
		step("fly", "pivot", "airline", ""), step("send", "retriable", "hotel", ""),
	}, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// killedServer runs in the child process: a server with its bus in memory, until it is killed or
// its parent has ended.
func killedServer(t *testing.T, dir string) {
	s, err := server.Start(t.Context(), server.Config{
		DataDir: dir, NATS: server.NATS{Storage: server.StorageMemory, Listen: os.Getenv(killedListen)},
		Definitions: []*saga.Definition{trip(t)}, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready", s.Addresses().NATS)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// child is a server in a process of its own, over its restarts.
type child struct {
	t      *testing.T
	dir    string
	listen string
	kill   func() // ends the process with SIGKILL
}

// start starts the process, waits until the server is ready, and returns the URL of its bus.
func (c *child) start() string {
	c.t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestKilledWithItsBus$", "-test.v=false")
	command.Env = append(os.Environ(), killedDir+"="+c.dir, killedListen+"="+c.listen)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe() // closed when this process ends
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.kill = sync.OnceFunc(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = in.Close()
	})
	c.t.Cleanup(c.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if where, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			u, err := url.Parse(where)
			if err != nil {
				c.t.Fatal(err)
			}
			c.listen = u.Host
			return where
		}
	}
	c.t.Fatal("the server has ended before it was ready")
	return ""
}

// books records the effects of the participants, and reports when there are enough for the next
// kill.
type books struct {
	mu      sync.Mutex
	effects map[contract.Key]int
	next    int // the number of effects at which reached is signalled
	reached chan struct{}
}

func (b *books) enter(key contract.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.effects[key]++
	if len(b.effects) == b.next {
		b.reached <- struct{}{}
	}
}

// serve runs the three participants. The airline rejects every fifth trip.
func (b *books) serve(t *testing.T, url string) {
	t.Helper()
	do := func(ctx context.Context, tx *participant.MemoryTx, n int) (string, error) {
		key := participant.KeyFrom(ctx)
		if key.Step == "fly" && n%5 == 0 {
			return "", participant.Reject("no seat")
		}
		tx.OnCommit(func() { b.enter(key) })
		return "ok", nil
	}
	undo := func(ctx context.Context, tx *participant.MemoryTx, _ contract.Undo[int, string]) error {
		key := participant.KeyFrom(ctx)
		tx.OnCommit(func() { b.enter(key) })
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for who, actions := range map[string][][2]string{"hotel": {{"room", "free"}, {"send", ""}}, "bank": {{"pay", "repay"}}, "airline": {{"fly", ""}}} {
		p := participant.New(who, new(participant.MemoryInbox), participant.Logger(slog.New(slog.DiscardHandler)))
		for _, a := range actions {
			command := contract.NewCommand[int, string](who, a[0])
			participant.Handle(p, command, do)
			if a[1] != "" {
				participant.HandleUndo(p, contract.UndoOf(command, a[1]), undo)
			}
		}
		bus := connectTo(t, url, who)
		running.Go(func() {
			if err := p.Run(ctx, bus); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
}

func connectTo(t *testing.T, url, name string) *natsbus.Bus {
	t.Helper()
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: url, Name: name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// foreign returns the consumer of a program that is not a participant, at the first moment at which
// the server can be reached.
func foreign(url string) (*jetstream.ConsumerInfo, error) {
	for end := time.Now().Add(limit); ; {
		nc, err := natstest.Connect(url, nats.MaxReconnects(0))
		if err != nil {
			if time.Now().After(end) {
				return nil, err
			}
			continue // not listening yet
		}
		defer nc.Close()
		var info jetstream.ConsumerInfo
		reply, err := nc.Request("$JS.API.CONSUMER.INFO.SAGA_COMMANDS.foreign", nil, limit)
		if err == nil {
			err = json.Unmarshal(reply.Data, &info)
		}
		if err == nil && info.Name == "" {
			err = fmt.Errorf("the server answers %s", reply.Data)
		}
		return &info, err
	}
}

// TestKilledWithItsBus kills a coordinator together with its bus in memory while sagas are in
// flight, several times. Every saga must end without waiting for a timeout, every effect must happen
// once, nothing that was accepted may be lost, and consumers must exist before anybody can connect
// (I2, I3, I5).
func TestKilledWithItsBus(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		killedServer(t, dir)
		return
	}
	c := &child{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
	where := c.start()
	caller := connectTo(t, where, "caller")
	js, err := jetstream.New(caller.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "SAGA_COMMANDS", jetstream.ConsumerConfig{
		Durable: "foreign", FilterSubject: "saga.command.foreign.>", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 11, MaxDeliver: -1,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "saga.event.bank.nobody.7.pay.do.1", []byte("no header at all")); err != nil {
		t.Fatal(err)
	}
	awaitDeadLetters(t, caller, 1)

	const sagas, kills = 100, 3
	b := &books{effects: map[contract.Key]int{}, next: sagas / 2, reached: make(chan struct{}, kills+1)}
	b.serve(t, where)
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	ends := make(chan error, sagas)
	for n := range sagas {
		go func() { ends <- runTrip(ctx, client.New(caller, client.Logger(slog.New(slog.DiscardHandler))), n) }()
	}
	for range kills {
		select {
		case <-b.reached:
		case <-ctx.Done():
			t.Fatal("the sagas stand still")
		}
		c.kill()
		b.mu.Lock()
		b.next = len(b.effects) + sagas/2
		b.mu.Unlock()
		seen := make(chan error, 1)
		go func() {
			info, err := foreign(where)
			if err == nil && info.Config.MaxAckPending != 11 {
				err = fmt.Errorf("the consumer has other settings: %+v", info.Config)
			}
			seen <- err
		}()
		c.start()
		if err := <-seen; err != nil {
			t.Errorf("the consumer of another program, when the server can be reached: %v", err)
		}
	}
	for range sagas {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	b.audit(t, sagas)
	awaitDeadLetters(t, caller, 1)
}

// runTrip starts a saga and waits for its end.
func runTrip(ctx context.Context, c *client.Client, n int) error {
	id := contract.SagaID(fmt.Sprint("trip-", n))
	if _, err := c.Start(ctx, contract.DefinitionRef{Name: "trip"}, n, client.ID(id)); err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	want := contract.PhaseCompleted
	if n%5 == 0 {
		want = contract.PhaseCompensated
	}
	status, err := c.Wait(ctx, id)
	if err == nil && status.Phase != want {
		err = errors.New("it is " + string(status.Phase))
	}
	if err != nil {
		return fmt.Errorf("%s was accepted, and must be %s: %w", id, want, err)
	}
	return nil
}

// audit checks that each step of each saga took effect once.
func (b *books) audit(t *testing.T, sagas int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if want := sagas * 4; len(b.effects) != want { // four steps, or two and their undos
		t.Errorf("%d effects, want %d", len(b.effects), want)
	}
	for key, n := range b.effects {
		if n != 1 {
			t.Errorf("%s took effect %d times", key, n)
		}
	}
}

// awaitDeadLetters waits until the bus has n dead letters.
func awaitDeadLetters(t *testing.T, bus *natsbus.Bus, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		list, err := bus.ListDeadLetters(ctx, 0, 10)
		if err == nil && len(list) == n {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%d dead letters, %v, want %d", len(list), err, n)
		}
	}
}
