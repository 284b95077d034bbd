package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestRefusals provokes each error code with which a real server refuses a publish, and checks its
// class. The class determines whether sending the same message again makes sense.
func TestRefusals(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	js := jetStream(t, bus)
	stream := func(config jetstream.StreamConfig) {
		config.Name, config.Subjects, config.Storage = "ODD", []string{"odd.>"}, jetstream.MemoryStorage
		_ = js.DeleteStream(within(t), config.Name) // it does not exist in the first round
		if _, err := js.CreateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
	plain := jetstream.StreamConfig{}
	full := jetstream.StreamConfig{Discard: jetstream.DiscardNew, MaxMsgs: 1}
	perSubject := jetstream.StreamConfig{Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, DiscardNewPerSubject: true}
	schedules := jetstream.StreamConfig{AllowMsgSchedules: true, AllowMsgTTL: true}
	for _, c := range []struct {
		name   string
		config jetstream.StreamConfig
		header []string // alternating names and values
		bytes  int
		code   jetstream.ErrorCode
		want   error
	}{
		{"too large", jetstream.StreamConfig{MaxMsgSize: 100}, nil, 200, 10054, transport.ErrTooLarge},
		{"headers too large", plain, []string{"a", strings.Repeat("x", 70_000)}, 0, 10097, transport.ErrTooLarge},
		{"lives for too short", jetstream.StreamConfig{AllowMsgTTL: true}, []string{"Nats-TTL", "1ms"}, 0, 10165, transport.ErrRefusedForGood},
		{"must not expire", plain, []string{"Nats-TTL", "10s"}, 0, 10166, transport.ErrRefused},
		{"another stream", plain, []string{"Nats-Expected-Stream", "OTHER"}, 0, 10060, transport.ErrRefusedForGood},
		{"another last id", plain, []string{"Nats-Expected-Last-Msg-Id", "x"}, 0, 10070, transport.ErrRefusedForGood},
		{"another last sequence", plain, []string{"Nats-Expected-Last-Sequence", "7"}, 0, 10071, transport.ErrFenced},
		{"no last sequence", plain, []string{"Nats-Expected-Last-Subject-Sequence-Subject", "odd.x"}, 0, 10193, transport.ErrRefusedForGood},
		{"rollup", plain, []string{"Nats-Rollup", "sub"}, 0, 10111, transport.ErrRefusedForGood},
		{"counter", plain, []string{"Nats-Incr", "1"}, 0, 10168, transport.ErrRefusedForGood},
		{"batch", plain, []string{"Nats-Batch-Id", "b", "Nats-Batch-Sequence", "1"}, 0, 10174, transport.ErrRefusedForGood},
		{"schedule", plain, []string{"Nats-Schedule", "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target", "odd.y"}, 0, 10188, transport.ErrRefusedForGood},
		{"schedule's pattern", schedules, []string{"Nats-Schedule", "never", "Nats-Schedule-Target", "odd.y"}, 0, 10189, transport.ErrRefusedForGood},
		{"schedule's target", schedules, []string{"Nats-Schedule", "@at 2030-01-01T00:00:00Z"}, 0, 10190, transport.ErrRefusedForGood},
		{"full", full, nil, 1, 10077, transport.ErrFull},
		{"full for the subject", perSubject, nil, 1, 10077, transport.ErrFull},
		{"sealed", jetstream.StreamConfig{}, nil, 1, 10109, transport.ErrRefused},
	} {
		stream(c.config)
		if errors.Is(c.want, transport.ErrFull) {
			if _, err := js.Publish(within(t), "odd.x", nil); err != nil {
				t.Fatal(err)
			}
		}
		if c.code == 10109 {
			info, err := js.Stream(within(t), "ODD")
			if err != nil {
				t.Fatal(err)
			}
			sealed := info.CachedInfo().Config
			sealed.Sealed = true
			if _, err := js.UpdateStream(within(t), sealed); err != nil {
				t.Fatal(err)
			}
		}
		m := nats.NewMsg("odd.x")
		m.Data = make([]byte, c.bytes)
		for i := 0; i < len(c.header); i += 2 {
			m.Header.Set(c.header[i], c.header[i+1])
		}
		_, err := js.PublishMsg(within(t), m, jetstream.WithRetryAttempts(0))
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != c.code {
			t.Errorf("%s: the server says %v, want code %d", c.name, err, c.code)
			continue
		}
		got := bus.Translate(err)
		if !errors.Is(got, c.want) || !errors.Is(got, transport.ErrRefused) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if forGood := errors.Is(c.want, transport.ErrRefusedForGood); errors.Is(got, transport.ErrRefusedForGood) != forGood {
			t.Errorf("%s: %v, for good: want %t", c.name, got, forGood)
		}
	}
	for what, err := range map[string]*jetstream.APIError{
		"a code of a later server":       {ErrorCode: 10_999},
		"an error of the server's disk":  {ErrorCode: 10_077, Description: "write /data: input/output error"},
		"the first copy is being stored": {ErrorCode: 10_158},
	} {
		if err := bus.Translate(err); err == nil || errors.Is(err, transport.ErrRefused) {
			t.Errorf("%s: %v, and it may well have been stored", what, err)
		}
	}
	if err := bus.Translate(context.DeadlineExceeded); errors.Is(err, transport.ErrRefused) {
		t.Errorf("no answer: %v, and it may well have been taken", err)
	}
}

// If one message of a bundle is permanently refused, the others are sent alone and accepted.
func TestRefusedBundleIsSplit(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	bus.ForceBundles(16)
	js := jetStream(t, bus)
	s, err := js.Stream(within(t), "SAGA_COMMANDS")
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxMsgSize = 5_000
	if _, err := js.UpdateStream(within(t), config); err != nil {
		t.Fatal(err)
	}
	large := command("large")
	large.Data = make([]byte, 10_000)
	errs := bus.Publish(within(t), []transport.Envelope{command("a"), large, command("b")})
	if len(errs) != 3 || errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], transport.ErrRefusedForGood) {
		t.Errorf("%v, want that only the second one is refused, and for good", errs)
	}
}

// The bus notices a publish without permission at once, instead of when the acknowledgement times
// out. Other messages are not delayed.
func TestNotPermitted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(file, []byte(`accounts { AMENDS: { jetstream: enabled, users: [
		{ user: some, password: some, permissions: { publish: { allow: [">"], deny: ["saga.command.bank.>"] } } } ] } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, embedded.Config{Port: -1, UsersFile: file, Account: natsbus.Account})
	bus := connect(t, server, func(c *natsbus.Config) {
		c.URL, c.Options = server.ClientURL(), nil
		c.User, c.Password, c.PublishTimeout = "some", "some", time.Hour
	})
	forbidden := command("forbidden")
	forbidden.Subject = "saga.command.bank.pay"
	errs := bus.Publish(within(t), []transport.Envelope{forbidden, command("a"), command("b")})
	if len(errs) != 3 || errs[1] != nil || errs[2] != nil || !errors.Is(errs[0], transport.ErrNotPermitted) || errors.Is(errs[0], transport.ErrRefused) {
		t.Errorf("%v, want that the first one is not permitted for now, and that it is not certain that it was not stored", errs)
	}
	// An operator has a minute to grant the permission. After that, the refusal is permanent.
	now := time.Now()
	violation := fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, forbidden.Subject)
	bus.NoteViolation(violation, now.Add(30*time.Second))
	bus.NoteViolation(violation, now.Add(time.Minute))
	if err := bus.Violation(forbidden.Subject, now); !errors.Is(err, transport.ErrRefusedForGood) || !errors.Is(err, transport.ErrNotPermitted) {
		t.Errorf("after a minute: %v, want: for good", err)
	}
	for _, other := range []string{"saga.command.shop.sell", "saga.command.bank.refund", "saga.lifecycle.checkout.completed"} {
		if err := bus.Violation(other, now); err != nil {
			t.Errorf("%s: %v, and only %s is forbidden", other, err, forbidden.Subject)
		}
	}
	if err := bus.Violation(forbidden.Subject, now.Add(2*time.Minute)); err != nil {
		t.Errorf("published since: %v", err)
	}
	bus.NoteViolation(violation, now.Add(time.Hour)) // after a long time without a violation, there is another minute
	if err := bus.Violation(forbidden.Subject, now.Add(time.Hour)); !errors.Is(err, transport.ErrNotPermitted) || errors.Is(err, transport.ErrRefusedForGood) {
		t.Errorf("an hour later: %v, want: for now", err)
	}
	for n := range 3000 { // the table is bounded, and keeps the newest violation
		bus.NoteViolation(fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, fmt.Sprintf("_INBOX.%d", n)), now.Add(time.Hour))
		bus.NoteViolation(fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, fmt.Sprintf("saga.command.x.a%d", n)), now.Add(2*time.Hour))
	}
	if err := bus.Violation("saga.command.x.a2999", now.Add(2*time.Hour)); !errors.Is(err, transport.ErrNotPermitted) {
		t.Errorf("the last of many: %v", err)
	}
}

// A long check of one stream does not delay the check of another.
func TestLooksAreApart(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	free := bus.BusyWith(transport.StreamLifecycle)
	var once sync.Once
	defer once.Do(free)
	if err := bus.Look(within(t), transport.StreamCommands); err != nil {
		t.Errorf("look at the commands while somebody looks at the lifecycle: %v", err)
	}
	if err := jetStream(t, bus).DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); ; {
		errs := bus.Publish(ctx, []transport.Envelope{command("a")})
		if errs == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the stream of commands is not recreated while somebody looks at the lifecycle: %v", errs)
		}
	}
	once.Do(free)
}
