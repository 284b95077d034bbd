package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/examples/order-checkout/audit"
	"github.com/amends-dev/amends/examples/order-checkout/database"
	"github.com/amends-dev/amends/examples/order-checkout/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs a command line and returns its output.
func command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code = run(ctx, args, &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

// TestDemo runs the complete demo, and checks in the services' databases how each kind of order
// ended.
func TestDemo(t *testing.T) {
	t.Parallel()
	plays(t, 0)
}

func plays(t *testing.T, seed int) {
	t.Helper()
	dir := t.TempDir()
	code, out := command(t, "--once", "--orders", "14", "--every", "30ms", "--seed", strconv.Itoa(seed), "--data", dir)
	if code != 0 || !strings.Contains(out, "THE BOOKS BALANCE. 14 orders") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	expectKinds(t, dir, out)
	for _, what := range []string{
		"the payment service dies", "the payment service starts again", "the charge is on the bus twice",
		"the answer is delayed", "a tombstone is stored", "the charge arrives after its undo, and is refused",
	} {
		if !strings.Contains(out, what) {
			t.Errorf("did not happen: %s\n%s", what, out)
		}
	}
}

func expectKinds(t *testing.T, dir, out string) {
	t.Helper()
	books, err := audit.Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, o := range books.Order.Orders {
		kind, known := script.KindOf(o.Scenario)
		want := map[string]string{"completed": "confirmed", "compensated": "cancelled"}[string(kind.Outcome)]
		if !known || o.Status != want {
			t.Errorf("%s (%s) is %s, want %s\n%s", o.OrderID, o.Scenario, o.Status, want, out)
		}
		seen[o.Scenario] = true
	}
	if len(seen) != len(script.Kinds) || books.Tombstones == 0 {
		t.Errorf("%d kinds of %d, %d tombstones", len(seen), len(script.Kinds), books.Tombstones)
	}
}

// TestSabotage changes one row of a database after a run, and expects the audit to find it.
func TestSabotage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "orders.jsonl")
	orders := `{"scenario": "all well", "order_id": "good"}` + "\n" + `{"scenario": "no carrier", "order_id": "bad"}` + "\n"
	if err := os.WriteFile(file, []byte(orders), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := command(t, "--once", "--file", file, "--data", dir); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if code, out := command(t, "audit", "--data", dir); code != 0 || !strings.Contains(out, "THE BOOKS BALANCE. 2 orders: 1 completed, 1 compensated") {
		t.Fatalf("the audit alone: exit code %d:\n%s", code, out)
	}
	for _, s := range []struct{ service, sql, want string }{
		{"order", `UPDATE orders SET status = 'open' WHERE order_id = 'good'`, "good is still open"},
		{"order", `DELETE FROM line; DELETE FROM ledger; DELETE FROM orders`, "good was accepted, but the order service does not know it"},
		{"payment", `UPDATE account SET balance = balance + 1`, "on the first day"},
		{"payment", `DELETE FROM ledger WHERE cents < 0`, "bad: "},
		{"payment", `INSERT INTO ledger (key, order_id, card, cents, text) SELECT key, order_id, card, cents, text FROM ledger LIMIT 1`, "took effect 2 times"},
		{"payment", `UPDATE ledger SET at = '2100-01-01T00:00:00.000Z' WHERE cents < 0`, "bad: the inventory service took back at"},
		{"inventory", `UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'globe'`, "globe: 3 on the first day, 2 on hand"},
		{"inventory", `DELETE FROM ledger WHERE quantity > 0`, "are missing on the shelf"},
		{"shipping", `DELETE FROM content; DELETE FROM parcel`, "but the carrier has"},
	} {
		t.Run(s.service+": "+s.sql, func(t *testing.T) {
			spoiled := t.TempDir()
			if err := os.CopyFS(spoiled, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			execute(t, audit.Path(spoiled, s.service), s.sql)
			if code, out := command(t, "audit", "--data", spoiled); code != 1 || !strings.Contains(out, s.want) || !strings.Contains(out, "THE BOOKS DO NOT BALANCE") {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, s.want, out)
			}
		})
	}
}

func execute(t *testing.T, path, sql string) {
	t.Helper()
	db, err := database.Open(t.Context(), path, sql)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAgain checks that placing the same orders again on the same data places each only once.
func TestAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "orders.jsonl")
	if err := os.WriteFile(file, []byte(`{"scenario": "all well", "order_id": "good"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code, out := command(t, "--once", "--file", file, "--data", dir); code != 0 || !strings.Contains(out, "THE BOOKS BALANCE. 1 order: 1 completed") {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	}
}

func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(file, []byte("\n{\"scenario\": \"flood\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--orders is 0":         {"--orders", "0"},
		"--orders is 10001":     {"--orders", "10001"},
		"missing.jsonl":         {"--file", "missing.jsonl"},
		"orders.jsonl, line 2:": {"--file", file},
		"--bogus":               {"--bogus"},
		"one of":                {"service", "toys"},
	} {
		if code, out := command(t, args...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, want 2 and %q:\n%s", args, code, want, out)
		}
	}
	if code, out := command(t, "audit", "--data", t.TempDir()); code != 1 || !strings.Contains(out, "read the books of the order service") {
		t.Errorf("audit of nothing: exit code %d:\n%s", code, out)
	}
	if code, out := command(t, "--help"); code != 0 || !strings.Contains(out, "--once") {
		t.Errorf("--help: exit code %d:\n%s", code, out)
	}
}
