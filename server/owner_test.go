package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/ownership"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// sharedServer starts a NATS server for several coordinators.
func sharedServer(t *testing.T) server.NATS {
	t.Helper()
	s, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return server.NATS{URL: s.ClientURL()}
}

// ends runs a server that is expected to stop by itself, and returns its error.
func ends(t *testing.T, c server.Config) error {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := server.Start(ctx, c)
	if err == nil {
		t.Errorf("it takes work; stopped: %v", s.Stop(t.Context()))
	}
	if ctx.Err() != nil {
		t.Fatalf("it did not end within %s", limit)
	}
	return err
}

// TestOneStoreOneOwner runs two coordinators with separate stores on one bus. The second refuses to
// start and names the first, which is not disturbed. Once the first has stopped cleanly, the second
// starts at once (I11).
func TestOneStoreOneOwner(t *testing.T) {
	bus := sharedServer(t)
	first := start(t, server.Config{DataDir: t.TempDir(), NATS: bus, Definitions: []*saga.Definition{refund(t)}, HTTP: "127.0.0.1:0"})
	second := server.Config{DataDir: t.TempDir(), NATS: bus}
	err := ends(t, second)
	var owned *ownership.NotOwnerError
	if !errors.As(err, &owned) || owned.Replaced {
		t.Fatalf("the second one ends with %v", err)
	}
	host, _ := os.Hostname()
	for _, word := range []string{"the prefix saga belongs to", host, strings.TrimPrefix(first.HTTP, "http://"), "--take-over", "--prefix"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	overview, err := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, first.HTTP).GetOverview(t.Context(), connect.NewRequest(&apiv1.GetOverviewRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if o := overview.Msg.GetOverview().GetOwner(); !o.GetOurs() || !o.GetConfirmed() || o.GetPrefix() != "saga" || o.GetStore() != owned.Claim.Store || o.GetClaim() != owned.Claim.Number || o.GetHost() != host ||
		o.GetAddress() != first.HTTP || !o.GetSince().AsTime().Equal(owned.Claim.Since) || o.GetLastConfirmed() == nil || o.GetWaiting() != "" {
		t.Errorf("the first one's overview says of the owner: %v", o)
	}
	ask(t, first, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Errorf("the first one: %v", err)
		}
	})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	start(t, second)
}

// TestPrefixesApart checks that coordinators with different prefixes do not affect each other.
func TestPrefixesApart(t *testing.T) {
	bus := sharedServer(t)
	start(t, server.Config{DataDir: t.TempDir(), NATS: bus})
	start(t, server.Config{DataDir: t.TempDir(), NATS: bus, Prefix: "other"})
}

// TestTakeOver checks that a coordinator that loses the prefix sends nothing more and stops. It
// writes a list of the sagas accepted or changed since its claim was last confirmed. Answers of
// participants go to the new owner.
func TestTakeOver(t *testing.T) {
	bus := sharedServer(t)
	old := server.Config{DataDir: t.TempDir(), NATS: bus, Definitions: []*saga.Definition{refund(t)}, Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	replaced, err := server.Start(ctx, old)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replaced.Stop(context.Background()) }()
	next := server.Config{DataDir: t.TempDir(), NATS: bus, TakeOver: true, Definitions: []*saga.Definition{refund(t)}}
	n := start(t, next)
	// Either the old owner accepts the start or nobody does: both listen until the old one has
	// noticed.
	ask(t, n, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Log(err)
		}
	})
	select { // it stops by itself
	case <-replaced.Stopped():
	case <-ctx.Done():
		t.Fatalf("the old one did not end within %s", limit)
	}
	err = replaced.Stop(t.Context())
	var owned *ownership.NotOwnerError
	if !errors.As(err, &owned) || !owned.Replaced {
		t.Fatalf("the old one ends with %v", err)
	}
	lists, _ := filepath.Glob(filepath.Join(old.DataDir, "replaced-*.txt"))
	if len(lists) != 1 {
		t.Fatalf("lists of what was accepted: %q", lists)
	}
	text, err := os.ReadFile(lists[0])
	if err != nil || !strings.HasPrefix(string(text), "# Sagas that this store has accepted or changed since") {
		t.Errorf("the list says %q, %v", text, err)
	}
	nc, errConn := n.Connect(t.Context(), "looker")
	if errConn != nil {
		t.Fatal(errConn)
	}
	defer func() { _ = nc.Close() }()
	js, err := jetstream.New(nc.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "SAGA_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	list := stream.ConsumerNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if len(names) != 1 {
		t.Errorf("consumers of the answers: %q, want the owner's", names)
	}
	if err := ends(t, old); !errors.As(err, &owned) {
		t.Errorf("started again, the old one ends with %v", err)
	}
}

// TestCopyOfADirectory checks that a copy of the data directory that is started while the original
// runs does not act (I11).
func TestCopyOfADirectory(t *testing.T) {
	bus := sharedServer(t)
	c := server.Config{DataDir: t.TempDir(), NATS: bus, Definitions: []*saga.Definition{refund(t)}}
	first := start(t, c)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, name := range []string{server.StoreFile, "secret"} {
		copyFile(t, filepath.Join(c.DataDir, name), filepath.Join(copied, name))
	}
	copyDir(t, filepath.Join(c.DataDir, server.StoreFile+".log"), filepath.Join(copied, server.StoreFile+".log"))
	start(t, c)
	err := ends(t, server.Config{DataDir: copied, NATS: bus})
	var owned *ownership.NotOwnerError
	if !errors.As(err, &owned) || owned.Replaced || !strings.Contains(err.Error(), "copy") {
		t.Errorf("the copy ends with %v", err)
	}
}

// TestCopyInItsPlace checks that a copy that replaces the store of a running process does not act,
// although the path of the directory is the same. A lock on the copy does not show that the running
// process has stopped.
func TestCopyInItsPlace(t *testing.T) {
	t.Parallel()
	c := server.Config{DataDir: t.TempDir(), NATS: sharedServer(t), Definitions: []*saga.Definition{refund(t)}}
	start(t, c)
	file := filepath.Join(c.DataDir, server.StoreFile)
	aside := filepath.Join(c.DataDir, "aside.db")
	if err := os.Rename(file, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".log", aside+".log"); err != nil {
		t.Fatal(err)
	}
	copyFile(t, aside, file)
	copyDir(t, aside+".log", file+".log")
	err := ends(t, c)
	var owned *ownership.NotOwnerError
	if !errors.As(err, &owned) || owned.Replaced || !strings.Contains(err.Error(), "is running") {
		t.Errorf("the copy ends with %v", err)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBusForgetsTheClaim checks that after the stream with the claim is deleted, the owner creates
// it again, and sagas continue.
func TestBusForgetsTheClaim(t *testing.T) {
	t.Parallel()
	bus := sharedServer(t)
	d := start(t, server.Config{DataDir: t.TempDir(), NATS: bus, Definitions: []*saga.Definition{checkout()}})
	h := &harbour{url: bus.URL, log: &notes{}}
	looker, err := d.Connect(t.Context(), "looker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = looker.Close() }()
	js, err := jetstream.New(looker.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"SAGA_COMMANDS", "SAGA_EVENTS"} {
		if err := js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	h.carry(t)
	if entry, err := looker.Claims().Read(t.Context()); err != nil || entry.Claim == nil {
		t.Errorf("the claim is %+v, %v", entry.Claim, err)
	}
}

// TestMessagesSayUnderWhichClaim checks that commands and announcements carry the claim under which
// they were sent. A participant can thus recognise messages of a replaced coordinator (I11).
func TestMessagesSayUnderWhichClaim(t *testing.T) {
	d := start(t, server.Config{DataDir: t.TempDir(), NATS: sharedServer(t), Definitions: []*saga.Definition{refund(t)}})
	ask(t, d, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Fatal(err)
		}
	})
	looker, err := d.Connect(t.Context(), "looker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = looker.Close() }()
	entry, err := looker.Claims().Read(t.Context())
	if err != nil || entry.Claim == nil {
		t.Fatalf("the claim is %+v, %v", entry.Claim, err)
	}
	want := fmt.Sprintf("%s/%d", entry.Claim.Store, entry.Claim.Number)
	js, err := jetstream.New(looker.Conn())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for stream, subject := range map[string]string{"SAGA_COMMANDS": "saga.command.payment.>", "SAGA_LIFECYCLE": "saga.lifecycle.>"} {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
		for errors.Is(err, jetstream.ErrMsgNotFound) { // not sent yet
			m, err = s.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get(transport.AttrOwner); got != want {
			t.Errorf("%s on %s says %q, want %q", transport.AttrOwner, m.Subject, got, want)
		}
	}
}
