package cli_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// purchase is the input of the sagas in these tests.
type purchase struct {
	Poor bool `json:"poor,omitempty"` // whether the card is declined
	Hold bool `json:"hold,omitempty"` // whether the stock waits
}

var (
	reserveStock = contract.NewCommand[purchase, string]("stock", "reserve")
	releaseStock = contract.UndoOf(reserveStock, "release")
	chargeCard   = contract.NewCommand[purchase, string]("payment", "charge")
	shop         = saga.MustDefine[purchase]("shop", saga.Retry(5, 50*time.Millisecond, time.Second),
		saga.Compensable("reserve", saga.Do(reserveStock), saga.Undo(releaseStock)),
		saga.Pivot("charge", saga.Do(chargeCard)))
)

// fixture is a coordinator, and two services with inboxes on disk.
type fixture struct {
	t       *testing.T
	dir     string
	payment *sql.DB
	stock   *bbolt.DB
	held    chan contract.SagaID // receives the id of each purchase for which the stock waits
	release chan struct{}        // lets the stock continue

	url string
	c   *client.Client
	end func()
}

func newFixture(t *testing.T) *fixture {
	m := &fixture{t: t, dir: t.TempDir(), held: make(chan contract.SagaID), release: make(chan struct{})}
	var err error
	if m.payment, err = sql.Open("sqlite", "file:"+filepath.Join(m.dir, "payment.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)"); err != nil {
		t.Fatal(err)
	}
	if m.stock, err = bbolt.Open(filepath.Join(m.dir, "stock.db"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(m.payment.Close(), m.stock.Close()) })
	if err := sqlinbox.New(m.payment, sqlinbox.SQLite).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// open runs a coordinator on a data directory, with or without the services.
func (m *fixture) open(data string, services bool) {
	m.t.Helper()
	s, err := server.Start(m.t.Context(), server.Config{
		DataDir: data, HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Definitions: []*saga.Definition{shop},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	bus, err := s.Connect(ctx, "stock")
	if err != nil {
		m.t.Fatal(err)
	}
	ended, running := make(chan error, 2), 0
	if services {
		quiet := participant.Logger(slog.New(slog.DiscardHandler))
		stock := participant.New("stock", boltinbox.New(m.stock), quiet)
		participant.Handle(stock, reserveStock, func(ctx context.Context, _ *bbolt.Tx, p purchase) (string, error) {
			if p.Hold {
				m.held <- participant.KeyFrom(ctx).Saga
				<-m.release
			}
			return "shelf 7", nil
		})
		participant.HandleUndo(stock, releaseStock, func(context.Context, *bbolt.Tx, contract.Undo[purchase, string]) error { return nil })
		payment := participant.New("payment", sqlinbox.New(m.payment, sqlinbox.SQLite), quiet)
		participant.Handle(payment, chargeCard, func(_ context.Context, _ *sql.Tx, p purchase) (string, error) {
			if p.Poor {
				return "", participant.Reject("declined")
			}
			return "receipt", nil
		})
		go func() { ended <- stock.Run(ctx, bus) }()
		go func() { ended <- payment.Run(ctx, bus) }()
		running += 2
	}
	m.url, m.c = s.Addresses().HTTP, client.New(bus)
	m.end = func() {
		stop()
		for range running {
			if err := <-ended; err != nil {
				m.t.Error(err)
			}
		}
		_ = bus.Close()
		if err := s.Stop(context.Background()); err != nil {
			m.t.Error(err)
		}
	}
}

// run runs a saga until it is at rest, and returns the prefix of its keys.
func (m *fixture) run(id contract.SagaID, p purchase, want contract.Phase) string {
	m.t.Helper()
	m.start(id, p)
	return m.ended(id, want)
}

func (m *fixture) start(id contract.SagaID, p purchase) {
	m.t.Helper()
	if _, err := m.c.Start(m.t.Context(), shop, p, client.ID(id)); err != nil {
		m.t.Fatal(err)
	}
}

// ended waits until a saga is at rest, and returns the prefix of its keys.
func (m *fixture) ended(id contract.SagaID, want contract.Phase) string {
	m.t.Helper()
	s, err := m.c.Wait(m.t.Context(), id)
	if err != nil || s.Phase != want {
		m.t.Fatalf("%s: %+v, %v; want %s", id, s, err, want)
	}
	return prefixOf(s)
}

func prefixOf(s *api.Saga) string { return string(s.ID) + "/" + s.Birth.String() + "/" }

// pausedBehind starts a saga and pauses it while its first step is in progress.
func (m *fixture) pausedBehind(id contract.SagaID) string {
	m.t.Helper()
	m.start(id, purchase{Hold: true})
	if got := <-m.held; got != id {
		m.t.Fatalf("the stock holds %s", got)
	}
	m.operate(id, "pause")
	m.release <- struct{}{}
	for {
		s, err := m.c.Get(m.t.Context(), id)
		if err != nil {
			m.t.Fatal(err)
		}
		if s.Steps[0].Status == "done" {
			return prefixOf(s)
		}
	}
}

func (m *fixture) operate(id contract.SagaID, operation contract.Operation) {
	m.t.Helper()
	if _, err := m.c.Operate(m.t.Context(), id, api.Decision{Operation: operation, By: "kim", Reason: "to see"}); err != nil {
		m.t.Fatal(err)
	}
}

// cli runs a command.
func (m *fixture) cli(want int, stdin string, args ...string) (stdout, stderr string) {
	m.t.Helper()
	var out, said strings.Builder
	if code := cli.Run(m.t.Context(), args, strings.NewReader(stdin), &out, &said); code != want {
		m.t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, said.String())
	}
	return out.String(), said.String()
}

// keysOfPayment returns the output of the SQL statement in docs/OPERATING.md.
func (m *fixture) keysOfPayment() string {
	m.t.Helper()
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		m.t.Fatal(err)
	}
	statement := regexp.MustCompile("(?s)```sql\n(SELECT saga [^`]*)```").FindSubmatch(page)
	if statement == nil {
		m.t.Fatal("docs/OPERATING.md has no statement that reads the keys from SQLite")
	}
	rows, err := m.payment.Query(string(statement[1]))
	if err != nil {
		m.t.Fatal(err)
	}
	defer rows.Close()
	var lines strings.Builder
	for rows.Next() {
		var key string
		var at int64
		if err := rows.Scan(&key, &at); err != nil {
			m.t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s|%d\n", key, at) // in the format of sqlite3 and psql -At
	}
	if err := rows.Err(); err != nil {
		m.t.Fatal(err)
	}
	return lines.String()
}

// found runs orphans for both inboxes with JSON output, and returns the kinds and keys printed.
func (m *fixture) found(want int, since time.Time) (all []string) {
	m.t.Helper()
	args := []string{"orphans", "--server", m.url, "-o", "json"}
	if !since.IsZero() {
		args = append(args, "--since", since.Format(time.RFC3339Nano))
	}
	payment, _ := m.cli(want, m.keysOfPayment(), args...)
	copied := filepath.Join(m.t.TempDir(), "copy.db")
	if err := m.stock.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }); err != nil {
		m.t.Fatal(err)
	}
	stock, _ := m.cli(want, "", append(args, "--bolt-inbox", copied)...)
	for line := range strings.Lines(payment + stock) {
		var one struct{ Kind, Key, Found string }
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.Found == "" {
			m.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, one.Kind+" "+one.Key)
	}
	slices.Sort(all)
	return all
}

// TestOrphans restores a coordinator from a backup. From the participants' inboxes, it finds
// exactly what they did since the backup.
func TestOrphans(t *testing.T) {
	m := newFixture(t)
	m.open(filepath.Join(m.dir, "lost"), true)
	m.run("before", purchase{}, contract.PhaseCompleted)
	m.run("before-poor", purchase{Poor: true}, contract.PhaseCompensated)
	resumed, cancelled, waiting := m.pausedBehind("resumed"), m.pausedBehind("cancelled"), m.pausedBehind("waiting")
	backup := filepath.Join(m.dir, "backup.db")
	made := time.Now()
	m.cli(cli.ExitOK, "", "backup", backup, "--server", m.url)

	after := m.run("after", purchase{}, contract.PhaseCompleted)
	m.run("after-poor", purchase{Poor: true}, contract.PhaseCompensated) // leaves no effect
	m.operate("resumed", "resume")
	m.ended("resumed", contract.PhaseCompleted)
	m.operate("cancelled", "cancel")
	m.operate("cancelled", "resume")
	m.ended("cancelled", contract.PhaseCompensated)
	if got := m.found(cli.ExitOK, time.Time{}); len(got) > 0 {
		t.Errorf("before the loss, orphans found %q", got)
	}
	m.end()

	restored := filepath.Join(m.dir, "restored")
	m.cli(cli.ExitOK, "", "restore", backup, "--data-dir", restored)
	m.open(restored, false)
	want := []string{
		"not_done " + resumed + "charge/do", "not_undone " + cancelled + "reserve/undo",
		"unknown_saga " + after + "charge/do", "unknown_saga " + after + "reserve/do",
	}
	if got := m.found(cli.ExitFailed, made); !slices.Equal(got, want) {
		t.Errorf("found\n%q, want\n%q", got, want)
	}
	text, said := m.cli(cli.ExitFailed, m.keysOfPayment(), "orphans", "--server", m.url)
	for _, line := range []string{
		"unknown_saga  " + after + "charge/do (started ", "): there is no saga with this id\n",
		"not_done      " + resumed + "charge/do (started ", "): the saga is running, and the step is pending\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the text lacks %q:\n%s", line, text)
		}
	}
	if !strings.Contains(said, "checked 3 keys: 2 for an operator to check") || !strings.Contains(said, "coordinator: 2 keys need a check") || !strings.Contains(said, "When the machine is lost") {
		t.Errorf("error output: %s", said)
	}
	m.end()

	// The caller starts the lost saga again, and an operator handles the others.
	m.open(restored, true)
	again := m.run("after", purchase{}, contract.PhaseCompleted)
	m.operate("resumed", "resume")
	m.ended("resumed", contract.PhaseCompleted)
	m.operate("cancelled", "cancel")
	m.operate("cancelled", "resume")
	m.ended("cancelled", contract.PhaseCompensated)
	want = []string{"other_saga " + after + "charge/do", "other_saga " + after + "reserve/do"}
	if got := m.found(cli.ExitFailed, made); !slices.Equal(got, want) || after == again {
		t.Errorf("found\n%q, want\n%q", got, want)
	}
	if got := m.found(cli.ExitOK, time.Now()); len(got) > 0 {
		t.Errorf("keys recorded before --since are found: %q", got)
	}
	if s, err := m.c.Get(t.Context(), "waiting"); err != nil || prefixOf(s) != waiting {
		t.Errorf("%+v, %v", s, err)
	}
	m.end()
}

// TestOrphansOfAList checks that lists of keys may come from many programs. Lines that cannot be
// parsed are reported, and all others are checked.
func TestOrphansOfAList(t *testing.T) {
	m := newFixture(t)
	m.open(filepath.Join(m.dir, "data"), true)
	defer m.end()
	known := m.run("known", purchase{}, contract.PhaseCompleted)
	const lost = "lost/hod85snpc0/reserve/do" // a key of 2026-11-21
	list := strings.Join([]string{
		"# keys", "", known + "reserve/do", lost, lost + "\t1795262400000", lost + "|1795262400000", lost + `,"2026-11-21T12:00:00Z"`, lost + " 2026-11-21T13:00:00+01:00\r",
		`"` + lost + `"`, `{"key":"` + lost + `","time":"2026-11-21T12:00:00Z"}`, `{"key":"` + lost + `","time":1795262400000}`, `{"key":"` + lost + `"}`,
		"lost/reserve/do", lost + "|yesterday", `{"key":`, strings.Repeat("x", 10_000), "\x00\xff", lost + "/1", "lost/HOD85SNPC0/reserve/do",
		"lost/hod85snpc0/reserve/undo", known + "unheard/do", "known/hod85snpc0/reserve/do",
	}, "\n")
	out, said := m.cli(cli.ExitFailed, list, "orphans", "--server", m.url, "-o", "json")
	kinds, recorded := map[string]int{}, 0
	for line := range strings.Lines(out) {
		var one struct {
			Kind     string
			Recorded time.Time
			Line     int
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.Line == 0 {
			t.Fatalf("%v: %s", err, line)
		}
		kinds[one.Kind]++
		if !one.Recorded.IsZero() {
			recorded++
			if !one.Recorded.Equal(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("recorded at %s: %s", one.Recorded, line)
			}
		}
	}
	if fmt.Sprint(kinds) != "map[other_saga:1 unknown_saga:9 unknown_step:1]" || recorded != 6 {
		t.Errorf("found %v, %d with a time", kinds, recorded)
	}
	for _, want := range []string{"line 13: key ", "line 14: \"yesterday\"", "line 15: is not JSON of the form", "line 16: is longer than 4096 bytes", "line 17: ", "line 18: key ", "line 19: birth ",
		"checked 13 keys: 11 for an operator to check", "11 keys need a check, and 7 lines could not be parsed"} {
		if !strings.Contains(said, want) {
			t.Errorf("error output lacks %q:\n%s", want, said)
		}
	}
	file := filepath.Join(m.dir, "keys.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat(known+"reserve/do\n", 1234)+lost+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, said := m.cli(cli.ExitFailed, "", "orphans", "--server", m.url, file); strings.Count(out, "\n") != 1 || !strings.Contains(said, "checked 1235 keys: 1 for an operator to check") {
		t.Errorf("a long list:\n%s%s", out, said)
	}
	if out, _ := m.cli(cli.ExitOK, lost, "orphans", "--server", m.url, "--since", "2026-11-21T12:00:01Z"); out != "" {
		t.Errorf("key of a saga that started before --since:\n%s", out)
	}
	if out, _ := m.cli(cli.ExitFailed, lost+" 2026-11-21T12:00:02Z", "orphans", "--server", m.url, "--since", "2026-11-21T12:00:01Z"); out == "" {
		t.Error("a key recorded after --since is left out")
	}
	if _, said := m.cli(cli.ExitFailed, strings.Repeat("x\n", 300), "orphans", "--server", m.url); strings.Count(said, "\n") > 110 || !strings.Contains(said, "300 lines could not be parsed") {
		t.Errorf("output for 300 invalid lines: %s", said)
	}
	m.cli(cli.ExitUsage, "", "orphans", "--server", m.url, filepath.Join(m.dir, "nothing"))
	m.cli(cli.ExitUsage, "", "orphans", "--server", m.url, file, "--bolt-inbox", file)
	m.cli(cli.ExitUsage, "", "orphans", "--server", m.url, "--since", "yesterday")
	if _, said := m.cli(cli.ExitFailed, "", "orphans", "--server", m.url, "--bolt-inbox", filepath.Join(m.dir, "stock.db")); !strings.Contains(said, "stop the service that has the file open, or use a copy of it") {
		t.Errorf("an inbox that is in use: %s", said)
	}
	m.cli(cli.ExitOK, "", "orphans", "--server", m.url)
	m.cli(cli.ExitNotReachable, lost, "orphans", "--server", "http://127.0.0.1:1", "--timeout", "1s")
}
