package doctor_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/doctor"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// running starts a coordinator whose definition has one slow step.
func running(t *testing.T, timeout string) (dir string, a server.Addresses) {
	t.Helper()
	return runningOn(t, timeout, server.StorageFile)
}

// runningOn is running with the streams of commands and answers in the given storage.
func runningOn(t *testing.T, timeout string, storage server.Storage) (dir string, a server.Addresses) {
	t.Helper()
	def, err := saga.ParseJSON(fmt.Appendf(nil, `{"name":"slow","version":1,"steps":[{"step":{"name":"print","kind":"retriable","do":{"participant":"printer","action":"print","timeout":%q}}}]}`, timeout))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	s, err := server.Start(t.Context(), server.Config{
		DataDir: dir, HTTP: "127.0.0.1:0", NATS: server.NATS{Listen: "127.0.0.1:0", Storage: storage},
		Definitions: []*saga.Definition{def}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return dir, s.Addresses()
}

func deployment(dir string, a server.Addresses) doctor.Deployment {
	return doctor.Deployment{
		Server: a.HTTP, Client: http.DefaultClient, Bare: http.DefaultClient,
		NATS: func(string, string) (natsbus.Config, error) { return natsbus.Config{URL: a.NATS}, nil }, Store: filepath.Join(dir, server.StoreFile),
	}
}

// holds fails the test unless a check has exactly one finding, with this grade and these words.
func holds(t *testing.T, findings []doctor.Finding, check string, grade doctor.Grade, words ...string) {
	t.Helper()
	var of []doctor.Finding
	for _, f := range findings {
		if f.Check == check {
			of = append(of, f)
		}
	}
	if len(of) != 1 || of[0].Grade != grade {
		t.Errorf("%s: findings %+v, want one of grade %s", check, of, grade)
		return
	}
	if (of[0].Fix == "") != (grade == doctor.OK) {
		t.Errorf("%s is %s with fix %q", check, grade, of[0].Fix)
	}
	for _, word := range words {
		if !strings.Contains(of[0].Found+" "+of[0].Fix, word) {
			t.Errorf("%s: %q with fix %q does not contain %q", check, of[0].Found, of[0].Fix, word)
		}
	}
}

// TestBusInMemory checks that streams in memory are reported, and not as a mistake.
func TestBusInMemory(t *testing.T) {
	dir, a := runningOn(t, "1m", server.StorageMemory)
	findings := doctor.Examine(t.Context(), deployment(dir, a))
	holds(t, findings, "streams", doctor.OK)
	holds(t, findings, "storage of SAGA_COMMANDS", doctor.OK, "in memory", "sent again")
	holds(t, findings, "storage of SAGA_EVENTS", doctor.OK, "in memory")
}

func TestAllIsWell(t *testing.T) {
	dir, a := running(t, "1m")
	findings := doctor.Examine(t.Context(), deployment(dir, a))
	for _, check := range []string{
		"coordinator", "clock of the coordinator", "access to the API", "parked sagas", "blocked sagas", "records of the store", "log of the store", "checkpoints", "commits", "end of the log", "dead letters", "dropped dead letters", "outbox", "streams",
		"clock of NATS", "replicas of SAGA_COMMANDS", "window of SAGA_COMMANDS", "room in SAGA_EVENTS", "storage of SAGA_COMMANDS", "storage of JetStream",
		"subscription of the coordinator", "owner of the prefix", "disk of the store",
	} {
		holds(t, findings, check, doctor.OK)
	}
	holds(t, findings, "log of the store", doctor.OK, "1 segment in use and ")
	for _, f := range findings {
		if f.Check == "disk of the store" && !regexp.MustCompile(`the log [1-9]\d* MiB`).MatchString(f.Found) {
			t.Errorf("the disk: %s", f.Found)
		}
	}
	holds(t, findings, "sync of NATS's files", doctor.Unknown, "--nats-monitor")
	holds(t, findings, "access to NATS", doctor.Warning, "permissions")
	if worst := doctor.Worst(findings); worst != doctor.Warning {
		t.Errorf("the worst grade is %s", worst)
	}
}

// TestStoreIsBehind checks the findings about a store that waits for room.
func TestStoreIsBehind(t *testing.T) {
	const page = `# TYPE amends_store_log_segments gauge
amends_store_log_segments{state="used"} 33
amends_store_log_segments{state="spare"} 64
# TYPE amends_store_log_behind_bytes gauge
amends_store_log_behind_bytes 67108864
# TYPE amends_store_log_torn_bytes gauge
amends_store_log_torn_bytes 512
# TYPE amends_store_checkpoint_lag_seconds gauge
amends_store_checkpoint_lag_seconds 130
# TYPE amends_store_commits_waiting gauge
amends_store_commits_waiting{reason="checkpoint"} 0
amends_store_commits_waiting{reason="state_full"} 1
`
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = io.WriteString(w, page)
		}
	}))
	t.Cleanup(coordinator.Close)
	findings := doctor.Examine(t.Context(), deployment(t.TempDir(), server.Addresses{HTTP: coordinator.URL, NATS: "nats://127.0.0.1:1"}))
	holds(t, findings, "log of the store", doctor.Warning, "33 segments in use and 64 spare, 65536 KiB ahead")
	holds(t, findings, "checkpoints", doctor.Warning, "130 s old")
	holds(t, findings, "commits", doctor.Problem, "state_full", "free space")
	holds(t, findings, "end of the log", doctor.OK, "512 bytes")
}

func TestNobodyIsThere(t *testing.T) {
	findings := doctor.Examine(t.Context(), deployment(t.TempDir(), server.Addresses{HTTP: "http://127.0.0.1:1", NATS: "nats://127.0.0.1:1"}))
	holds(t, findings, "coordinator", doctor.Problem, "coordinator serve")
	holds(t, findings, "NATS", doctor.Problem, "--nats-url")
	if worst := doctor.Worst(findings); worst != doctor.Problem {
		t.Errorf("the worst grade is %s", worst)
	}
}

// TestWaitsInItsOwnWords checks a NATS server without JetStream. A finding reports it within
// doctor's timeout, and nothing is logged.
func TestWaitsInItsOwnWords(t *testing.T) {
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	findings := doctor.Examine(ctx, deployment(t.TempDir(), server.Addresses{HTTP: "http://127.0.0.1:1", NATS: s.ClientURL()}))
	holds(t, findings, "NATS", doctor.Problem, "JetStream does not answer")
	if log.Len() > 0 {
		t.Errorf("it logged %s", &log)
	}
}

// TestWhatIsWrong checks that each problem of a running system is found.
func TestWhatIsWrong(t *testing.T) {
	dir, a := running(t, "10m")
	nc, err := natstest.Connect(a.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	// The problems are: a service that is gone, a command that waits for it, and a malformed
	// answer.
	if _, err := js.CreateConsumer(t.Context(), "SAGA_COMMANDS", jetstream.ConsumerConfig{Durable: "printer", FilterSubject: "saga.command.printer.>", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "saga.command.printer.print", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "saga.event.printer.nobody.7.print.do.1", []byte("{}"), jetstream.WithMsgID("x")); err != nil {
		t.Fatal(err)
	}
	letters, err := js.OrderedConsumer(t.Context(), "SAGA_DEAD", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := letters.Next(jetstream.FetchMaxWait(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p := deployment(dir, a)
	p.Now = func() time.Time { return time.Now().Add(time.Minute) } // this machine's clock is off by a minute
	p.Bare, p.Monitor = http.DefaultClient, monitor(t, `{"config":{"sync_interval":600000000000}}`)
	findings := doctor.Examine(t.Context(), p)
	holds(t, findings, "subscription of printer", doctor.Warning, "1 message waits", "none was delivered or acknowledged", "check that the service runs")
	holds(t, findings, "window of SAGA_COMMANDS", doctor.Warning, "shorter than the timeout of do print of slow/1 (10m", "--dupe-window 10m")
	holds(t, findings, "clock of NATS", doctor.Warning, "NTP")
	holds(t, findings, "clock of the coordinator", doctor.Warning, "NTP")
	holds(t, findings, "dead letters", doctor.Warning, "coordinator dead-letters list")
	holds(t, findings, "sync of NATS's files", doctor.Warning, "every 10m0s", "sync_interval")
	if worst := doctor.Worst(findings); worst != doctor.Warning {
		t.Errorf("the worst grade is %s", worst)
	}
}

// TestSlowAnswerIsNoSkew checks that an answer that took a minute is not reported as clock skew.
func TestSlowAnswerIsNoSkew(t *testing.T) {
	slow := httptest.NewServer(http.NotFoundHandler()) // its response carries the current time
	t.Cleanup(slow.Close)
	p := deployment(t.TempDir(), server.Addresses{HTTP: slow.URL, NATS: "nats://127.0.0.1:1"})
	var asked time.Duration
	p.Now = func() time.Time {
		now := time.Now().Add(asked)
		asked += time.Minute
		return now
	}
	holds(t, doctor.Examine(t.Context(), p), "clock of the coordinator", doctor.OK)
}

// TestAccounts checks that participants in the coordinator's account, where they have its rights,
// are reported.
func TestAccounts(t *testing.T) {
	t.Parallel()
	prove := func(name string, role natsbus.Role) natsbus.User {
		return natsbus.User{Name: name, Role: role, Proof: []string{"user: " + name, "password: " + name}}
	}
	users := []natsbus.User{prove("amends", natsbus.RoleCoordinator), prove("requests", natsbus.RoleResponder), prove("payment", natsbus.RoleParticipant)}
	for name, tt := range map[string]struct {
		print func([]natsbus.User) (string, error)
		grade doctor.Grade
		found string
	}{
		"accounts":    {natsbus.Config{}.Accounts, doctor.OK, "the account AMENDS"},
		"one account": {natsbus.Config{}.Authorization, doctor.Problem, "purge and delete streams"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := tt.print(users)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "users.conf")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			options, err := natsserver.ProcessConfigFile(file)
			if err != nil {
				t.Fatal(err)
			}
			options.Host, options.Port, options.JetStream, options.StoreDir, options.NoLog, options.NoSigs = "127.0.0.1", -1, true, t.TempDir(), true, true
			s, err := natsserver.NewServer(options)
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
			if !s.ReadyForConnections(time.Minute) {
				t.Fatal("the server is not ready")
			}
			as := natsbus.Config{URL: s.ClientURL(), User: "amends", Password: "amends", InboxPrefix: natsbus.InboxPrefix("amends")}
			coordinator := as
			coordinator.Provision, coordinator.Responder = natsbus.ProvisionCreate, []nats.Option{nats.UserInfo("requests", "requests")}
			bus, err := natsbus.Connect(t.Context(), coordinator)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bus.Close() })
			stop, err := bus.Respond("saga.api.subscribe.*", "coordinator", func(_ *transport.Envelope, reply func(*transport.Envelope)) {
				go func() {
					_, err := bus.Provide(context.Background(), "payment", api.SubscribeRequest{})
					if err != nil {
						t.Error(err)
					}
					reply(&transport.Envelope{Data: []byte(`{"stream":"SAGA_COMMANDS","consumer":"payment"}`)})
				}()
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			payment, err := natsbus.Connect(t.Context(), natsbus.Config{URL: s.ClientURL(), User: "payment", Password: "payment", InboxPrefix: natsbus.InboxPrefix("payment")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = payment.Close() })
			if err := payment.AskConsumer(t.Context(), "payment", api.SubscribeRequest{}); err != nil {
				t.Fatal(err)
			}
			p := deployment(t.TempDir(), server.Addresses{HTTP: "http://127.0.0.1:1", NATS: s.ClientURL()})
			p.NATS = func(string, string) (natsbus.Config, error) { return as, nil }
			findings := doctor.Examine(t.Context(), p)
			holds(t, findings, "accounts of NATS", tt.grade, tt.found)
			said := slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Check == "account of payment" && f.Grade == doctor.Problem })
			if said != (tt.grade == doctor.Problem) {
				t.Errorf("payment's account: %t; findings %+v", said, findings)
			}
		})
	}
}

// TestDrift checks that a changed stream, which would lose messages, is reported with the command
// that fixes it.
func TestDrift(t *testing.T) {
	nats, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Shutdown()
	nc, err := natstest.Connect(nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SAGA_COMMANDS", Subjects: []string{"saga.command.>"}, MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	findings := doctor.Examine(t.Context(), deployment(t.TempDir(), server.Addresses{HTTP: "http://127.0.0.1:1", NATS: nats.ClientURL()}))
	holds(t, findings, "streams", doctor.Problem, "retention", "nats stream rm SAGA_COMMANDS")
	holds(t, findings, "window of SAGA_COMMANDS", doctor.Unknown)
}

// monitor simulates the monitoring endpoint of NATS.
func monitor(t *testing.T, page string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jsz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestAsksTheCoordinatorsNATS checks that without --nats-url, doctor examines the NATS server that
// the coordinator reports. If the flag names a different one, a finding says so.
func TestAsksTheCoordinatorsNATS(t *testing.T) {
	dir, a := running(t, "1m")
	p := deployment(dir, a)
	p.NATS = func(url, prefix string) (natsbus.Config, error) { return natsbus.Config{URL: url, Prefix: prefix}, nil }
	findings := doctor.Examine(t.Context(), p)
	holds(t, findings, "streams", doctor.OK)
	holds(t, findings, "owner of the prefix", doctor.OK)

	_, b := running(t, "1m")
	findings = doctor.Examine(t.Context(), deployment(dir, server.Addresses{HTTP: a.HTTP, NATS: b.NATS}))
	holds(t, findings, "NATS", doctor.Problem, "not the coordinator's NATS", a.NATS)

	// A coordinator that does not answer reports no NATS server, so the findings may be about the
	// server of another coordinator.
	findings = doctor.Examine(t.Context(), deployment(dir, server.Addresses{HTTP: "http://127.0.0.1:1", NATS: b.NATS}))
	holds(t, findings, "NATS of the coordinator", doctor.Unknown, "the following findings are about "+b.NATS)
}
