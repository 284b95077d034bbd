package natsbus_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// owner is the bus of a coordinator that owns its server, over restarts of both.
type owner struct {
	t    *testing.T
	dir  string // of the server
	file string // the list of consumers
}

func newOwner(t *testing.T) *owner {
	return &owner{t: t, dir: t.TempDir(), file: filepath.Join(t.TempDir(), "consumers.json")}
}

// run starts a server and a bus. stop stops both.
func (o *owner) run(memory bool, change func(*natsbus.Config)) (bus *natsbus.Bus, js jetstream.JetStream, stop func()) {
	o.t.Helper()
	server, err := embedded.Start(embedded.Config{StoreDir: o.dir})
	if err != nil {
		o.t.Fatal(err)
	}
	bus = connect(o.t, server, func(c *natsbus.Config) {
		c.Memory, c.ConsumersFile = memory, o.file
		if change != nil {
			change(c)
		}
	})
	return bus, jetStream(o.t, bus), func() {
		if err := bus.Close(); err != nil {
			o.t.Error(err)
		}
		server.Shutdown()
	}
}

// listed reports whether the file names a consumer.
func (o *owner) listed(consumer string) bool {
	data, err := os.ReadFile(o.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.t.Error(err)
	}
	return strings.Contains(string(data), `"`+consumer+`"`)
}

// storage returns the storage of the streams, by name.
func storage(t *testing.T, js jetstream.JetStream) map[string]jetstream.StorageType {
	t.Helper()
	all := map[string]jetstream.StorageType{}
	streams := js.ListStreams(within(t))
	for info := range streams.Info() {
		all[info.Config.Name] = info.Config.Storage
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// stranger creates a consumer of commands as somebody does who knows nothing of Amends.
func stranger(t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.ConsumerConfig)) jetstream.ConsumerConfig {
	t.Helper()
	config := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: "saga.command." + name + ".>", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 77 * time.Second, MaxAckPending: 7, MaxDeliver: -1, Metadata: map[string]string{"team": name},
	}
	if change != nil {
		change(&config)
	}
	c, err := js.CreateConsumer(within(t), "SAGA_COMMANDS", config)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().Config
}

// consumers returns the names of the consumers of commands.
func consumers(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	stream, err := js.Stream(within(t), "SAGA_COMMANDS")
	if err != nil {
		t.Fatal(err)
	}
	list := stream.ConsumerNames(within(t))
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestConsumersOutliveMemory checks that the consumers of commands in memory exist again once the
// bus is connected after a restart, with their settings, whoever has created them; and that one
// that was deleted does not.
func TestConsumersOutliveMemory(t *testing.T) {
	t.Parallel()
	o := newOwner(t)
	bus, js, stop := o.run(true, nil)
	if !bus.BeganEmpty() {
		t.Error("it does not report that its streams are new")
	}
	if _, err := bus.Provide(within(t), "payment", api.SubscribeRequest{AckWait: api.For(9 * time.Second), MaxInFlight: 33, Bundle: 4}); err != nil {
		t.Fatal(err)
	}
	if !o.listed("payment") {
		t.Error("a participant was told that its consumer exists before the consumer was stored")
	}
	want := stranger(t, js, "foreign", nil)
	stranger(t, js, "deleted", nil)
	stranger(t, js, "pusher", func(c *jetstream.ConsumerConfig) {
		c.DeliverSubject = "somewhere"
	})
	for name, until := range map[string]time.Time{"paused": time.Now().Add(time.Hour), "resumed": time.Now().Add(50 * time.Millisecond)} {
		stranger(t, js, name, func(c *jetstream.ConsumerConfig) { c.PauseUntil = &until })
	}
	eventually(t, "the consumers are stored", func() bool {
		return o.listed("foreign") && o.listed("deleted") && o.listed("paused") && o.listed("resumed")
	})
	if err := js.DeleteConsumer(within(t), "SAGA_COMMANDS", "deleted"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted consumer is removed from the list", func() bool { return !o.listed("deleted") })
	insist(t, bus, command("a"))
	stop()

	bus, js, stop = o.run(true, nil)
	defer stop()
	if got := consumers(t, js); !slices.Equal(got, []string{"foreign", "paused", "payment", "resumed"}) {
		t.Errorf("after the restart the consumers are %v", got)
	}
	c, err := js.Consumer(within(t), "SAGA_COMMANDS", "foreign")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config; got.AckWait != want.AckWait || got.MaxAckPending != want.MaxAckPending || got.FilterSubject != want.FilterSubject ||
		got.MaxDeliver != want.MaxDeliver || got.Metadata["team"] != "foreign" {
		t.Errorf("the consumer is created again as %+v, was %+v", got, want)
	}
	if c, err = js.Consumer(within(t), "SAGA_COMMANDS", "paused"); err != nil || !c.CachedInfo().Paused {
		t.Errorf("the paused consumer is %+v, %v", c, err)
	}
	if c, err = js.Consumer(within(t), "SAGA_COMMANDS", "payment"); err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config; got.AckWait != 9*time.Second || got.MaxAckPending != 33 || got.Metadata["amends-bundle"] != "4" {
		t.Errorf("the participant's consumer is created again as %+v", got)
	}
	if !bus.BeganEmpty() {
		t.Error("it does not report that its streams were lost")
	}
	// Whoever deletes the stream does not delete the consumers with it.
	if err := js.DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	awaitReset(t, bus)
	eventually(t, "the consumers are created with the stream", func() bool { return slices.Contains(consumers(t, js), "foreign") })
}

// TestOnlyWhatIsRepeatedIsInMemory checks that dead letters, announcements and the claim stay in
// files, because nobody sends them again.
func TestOnlyWhatIsRepeatedIsInMemory(t *testing.T) {
	t.Parallel()
	o := newOwner(t)
	bus, js, stop := o.run(true, nil)
	if _, err := bus.Claims().Write(within(t), claimOf("store", "incarnation", 1), ownership.Position{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]jetstream.StorageType{
		"SAGA_COMMANDS": jetstream.MemoryStorage, "SAGA_EVENTS": jetstream.MemoryStorage,
		"SAGA_LIFECYCLE": jetstream.FileStorage, "SAGA_DEAD": jetstream.FileStorage, "SAGA_OWNER": jetstream.FileStorage,
	}
	if got := storage(t, js); len(got) != len(want) {
		t.Errorf("there are the streams %v", got)
	} else {
		for name, s := range want {
			if got[name] != s {
				t.Errorf("stream %s is in %s, want %s", name, got[name], s)
			}
		}
	}
	for _, s := range transport.Streams {
		if s.Repeatable() != (want[bus.StreamName(s)] == jetstream.MemoryStorage) {
			t.Errorf("Repeatable of %s is %t", s, s.Repeatable())
		}
	}
	source := subscribe(t, bus, answers())
	if _, err := js.Publish(within(t), "saga.event.payment.order-42.7.pay.do.1", []byte("no header at all")); err != nil {
		t.Fatal(err)
	}
	pump(t, source)
	letters := func(bus *natsbus.Bus) int {
		list, err := bus.ListDeadLetters(within(t), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	eventually(t, "the answer is a dead letter", func() bool { return letters(bus) == 1 })
	insist(t, bus, transport.Envelope{Subject: "saga.lifecycle.checkout.completed", Type: transport.TypeLifecycle, ID: "end"})
	stop()
	bus, js, stop = o.run(true, nil)
	defer stop()
	if n := letters(bus); n != 1 {
		t.Errorf("after the restart there are %d dead letters, want 1", n)
	}
	lifecycle, err := js.Stream(within(t), "SAGA_LIFECYCLE")
	if err != nil {
		t.Fatal(err)
	}
	if n := lifecycle.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("after the restart there are %d announcements, want 1", n)
	}
	if entry, err := bus.Claims().Read(within(t)); err != nil || entry.Claim == nil {
		t.Errorf("after the restart the claim is %+v, %v", entry.Claim, err)
	}
}

// TestStorageIsSwitched checks that an existing stream is replaced when its storage is configured
// differently, in both directions, with its consumers, and that only the server's owner does so.
func TestStorageIsSwitched(t *testing.T) {
	t.Parallel()
	o := newOwner(t)
	_, js, stop := o.run(false, nil)
	stranger(t, js, "foreign", nil)
	if o.listed("foreign") {
		t.Error("the consumer of a stream in files is listed")
	}
	stop()
	for i, memory := range []bool{true, false, false, true} {
		bus, js, stop := o.run(memory, nil)
		want := jetstream.FileStorage
		if memory {
			want = jetstream.MemoryStorage
		}
		if got := storage(t, js); got["SAGA_COMMANDS"] != want || got["SAGA_EVENTS"] != want {
			t.Errorf("run %d: the streams are in %v, want %s", i, got, want)
		}
		c, err := js.Consumer(within(t), "SAGA_COMMANDS", "foreign")
		if err != nil || c.CachedInfo().Config.MaxAckPending != 7 {
			t.Errorf("run %d: the consumer is %+v, %v", i, c, err)
		}
		if o.listed("foreign") != memory {
			t.Errorf("run %d: the consumer is listed: %t", i, !memory)
		}
		if kept := i == 2; bus.BeganEmpty() == kept {
			t.Errorf("run %d: BeganEmpty is %t", i, bus.BeganEmpty())
		}
		if err := bus.Check(within(t)); err != nil {
			t.Errorf("run %d: %v", i, err)
		}
		stop()
	}
}

// TestStorageIsNotOurs checks that a bus which does not own the server refuses streams with another
// storage, and that one which only verifies streams accepts both.
func TestStorageIsNotOurs(t *testing.T) {
	t.Parallel()
	server := start(t, embedded.Config{})
	connect(t, server, func(c *natsbus.Config) { c.Memory = true })
	connect(t, server, func(c *natsbus.Config) { c.Provision = natsbus.ProvisionVerify })
	config := natsbus.Config{Provision: natsbus.ProvisionCreate, Options: []nats.Option{server.InProcess()}}
	var drift *natsbus.DriftError
	if bus, err := natsbus.Connect(within(t), config); !errors.As(err, &drift) || drift.Field != "storage" {
		t.Errorf("a stream in memory is accepted: %v, %v", bus, err)
	}
	if err := (natsbus.Config{Memory: true, Replicas: 3}).Validate(); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("memory with three replicas: %v", err)
	}
}

// TestConsumersFileIsDamaged checks that a damaged list of consumers is reported, with a remedy.
func TestConsumersFileIsDamaged(t *testing.T) {
	t.Parallel()
	o := newOwner(t)
	if err := os.WriteFile(o.file, []byte("[{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, embedded.Config{StoreDir: o.dir})
	config := natsbus.Config{Provision: natsbus.ProvisionCreate, Memory: true, ConsumersFile: o.file, Options: []nats.Option{server.InProcess()}}
	if _, err := natsbus.Connect(within(t), config); err == nil || !strings.Contains(err.Error(), "remove "+o.file) {
		t.Errorf("the list is damaged, and Connect returns %v", err)
	}
}
