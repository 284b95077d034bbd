//go:build lab

package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/doctor"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// TestStandstillsOfTheBus checks that when an administrator, a disk or an absent service stalls the
// bus, readiness, doctor and metrics show it; once the cause is gone, they stop showing it (I13).
func TestStandstillsOfTheBus(t *testing.T) {
	pause := func(stream, prefix string) func(*neighbours) (undo func()) {
		return func(n *neighbours) func() {
			consumer := n.consumer(stream, prefix)
			if _, err := n.js.PauseConsumer(n.t.Context(), stream, consumer, time.Now().Add(time.Hour)); err != nil {
				n.t.Fatal(err)
			}
			return func() {
				if _, err := n.js.ResumeConsumer(n.t.Context(), stream, consumer); err != nil {
					n.t.Error(err)
				}
			}
		}
	}
	limited := func(change, back func(*jetstream.StreamConfig)) func(*neighbours) (undo func()) {
		return func(n *neighbours) func() {
			n.edit(transport.StreamCommands, change)
			return func() { n.edit(transport.StreamCommands, back) }
		}
	}
	for name, c := range map[string]struct {
		stand func(*neighbours) (undo func())
		def   string // definition of the sagas started while the bus is stalled
		line  string // expected line of /readyz
		ready int
	}{
		"the coordinator's consumer is paused": {
			pause("SAGA_EVENTS", "coordinator"), "well", "answers: the coordinator's consumer is paused", http.StatusServiceUnavailable,
		},
		"a participant's consumer is paused": {
			pause("SAGA_COMMANDS", "well"), "well", "participant well: its consumer is paused", http.StatusOK,
		},
		"a participant was never there": {
			func(*neighbours) func() { return func() {} }, "away", "participant away: 3 commands wait for it, but no client has requested any", http.StatusOK,
		},
		"the stream of commands is full": {
			limited(func(c *jetstream.StreamConfig) { c.MaxBytes = 100 }, func(c *jetstream.StreamConfig) { c.MaxBytes = 64 << 20 }), "well",
			"commands well: the bus does not accept these commands (waiting: 3)", http.StatusServiceUnavailable,
		},
		"a stream of announcements that is not as it should be": {
			func(n *neighbours) func() {
				n.edit(transport.StreamLifecycle, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 })
				return func() { n.edit(transport.StreamLifecycle, func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }) }
			}, "well", "lifecycle: stream SAGA_LIFECYCLE: max_msg_size is 100", http.StatusOK,
		},
		"a limit for each subject": {
			limited(func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 1, true },
				func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = -1, false }), "away",
			"bus commands: stream SAGA_COMMANDS: max_msgs_per_subject is 1", http.StatusServiceUnavailable, // drift
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := withNeighbours(t, func(config *server.Config) { config.Definitions = []*saga.Definition{single(t, c.def, "10m", 3)} })
			undo := c.stand(n)
			ids := n.start(c.def, 3, 10)
			said := ""
			n.until(c.line, func() bool {
				code, body := fetch(t, http.MethodGet, n.running.HTTP+"/readyz", nil)
				said = body
				return code == c.ready && strings.Contains(body, c.line)
			})
			t.Log(said)
			kind, _, _ := strings.Cut(c.line, ":")
			word, _, _ := strings.Cut(kind, " ")
			if _, page := fetch(t, http.MethodGet, n.running.HTTP+"/metrics", nil); !strings.Contains(page, `amends_standstills{kind="`+word+`"} 1`) {
				t.Errorf("the metrics do not show %s", word)
			}
			n.doctorSays(kind)
			undo()
			if c.def == "away" {
				n.serve("away")
			}
			n.ends(ids, "completed")
			n.until("it is over", func() bool {
				code, body := fetch(t, http.MethodGet, n.running.HTTP+"/readyz", nil)
				return code == http.StatusOK && body == "ok\n"
			})
		})
	}
}

// consumer returns the name of a stream's consumer that has the given prefix, or "".
func (n *neighbours) consumer(stream, prefix string) (name string) {
	n.t.Helper()
	n.until("there is a consumer of "+stream, func() bool {
		s, err := n.js.Stream(n.t.Context(), stream)
		if err != nil {
			return false
		}
		names := s.ConsumerNames(n.t.Context())
		for one := range names.Name() {
			if strings.HasPrefix(one, prefix) {
				name = one
			}
		}
		return name != ""
	})
	return name
}

// until polls for up to two minutes until a condition holds.
func (n *neighbours) until(what string, holds func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			_, body := fetch(n.t, http.MethodGet, n.running.HTTP+"/readyz", nil)
			n.t.Fatalf("not within two minutes: %s; readyz says %s", what, body)
		}
	}
}

// doctorSays looks for a stalled part in the findings of doctor.
func (n *neighbours) doctorSays(kind string) {
	n.t.Helper()
	findings := doctor.Examine(n.t.Context(), doctor.Deployment{
		Server: n.running.HTTP, Client: http.DefaultClient, Bare: http.DefaultClient, NATS: func(string, string) (natsbus.Config, error) { return natsbus.Config{URL: n.running.NATS}, nil },
	})
	for _, f := range findings {
		if f.Check == "standstill of "+kind && f.Fix != "" {
			return
		}
	}
	n.t.Errorf("doctor does not tell of %s: %+v", kind, findings)
}
