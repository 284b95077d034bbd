//go:build linux && lab

package reliability

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/server"
)

// goal is how soon sagas should make progress again after a repair. It is reported but not
// required, because the machine may be busy.
const goal = time.Second

// suspicious is the recovery time beyond which the state of the bus is kept for the report.
const suspicious = 5 * time.Second

// shortForm is how often the short form injects each fault.
const shortForm = 5

// TestFaults injects faults under load, one after the other, and audits the result (I1 to I5, I8).
func TestFaults(t *testing.T) {
	deck := slices.Clone(faults)
	if *only != "" {
		pattern, err := regexp.Compile(*only)
		if err != nil {
			t.Fatal(err)
		}
		deck = slices.DeleteFunc(deck, func(f fault) bool { return !pattern.MatchString(f.name) })
	}
	n := *cycles
	if n == 0 {
		n = shortForm * len(deck)
		if testing.Short() {
			n = len(deck)
		}
	}
	r := faultless(t, deck, n)
	if len(r.Phases) < 2 {
		t.Errorf("sagas ended %v; a run in which nothing goes back shows little", r.Phases)
	}
}

// TestOutages disconnects the bus, kills it, and disconnects it from one participant. Each outage
// lasts for -reliability.outage.
func TestOutages(t *testing.T) { faultless(t, outages, len(outages)) }

// faultless runs a campaign that must have no findings and in which each fault met a saga in
// flight.
func faultless(t *testing.T, deck []fault, n int) result {
	t.Helper()
	r := campaign(t, "", deck, n)
	for _, f := range r.Found {
		t.Error(f)
	}
	for name, met := range r.met {
		if met == 0 {
			t.Errorf("no saga was under way whenever this was made: %s", name)
		}
	}
	return r
}

// TestHarnessCanFail plants bugs that the audit must find: a participant whose inbox remembers
// nothing (I5), and a coordinator that loses its store (I2).
func TestHarnessCanFail(t *testing.T) {
	named := func(names ...string) (deck []fault) {
		for _, f := range faults {
			if slices.Contains(names, f.name) {
				deck = append(deck, f)
			}
		}
		return deck
	}
	for _, bug := range []struct {
		name string
		deck []fault
		n    int
		want string
	}{
		{"forgetful", named("pause a participant beyond timeouts", "purge a stream by hand", "kill -9 a participant"), 6, "doubled"},
		{"store lost", []fault{{"delete the coordinator's store", loseStore}}, 1, "lost"},
	} {
		t.Run(bug.name, func(t *testing.T) {
			r := campaign(t, bug.name, bug.deck, bug.n)
			if !slices.ContainsFunc(r.Found, func(f world.Finding) bool { return f.Kind == bug.want }) {
				t.Errorf("found %v, expected something %s", r.Found, bug.want)
			}
		})
	}
}

// loseStore is the planted bug of a coordinator: it deletes its store.
func loseStore(s *system, _ *rand.Rand) (time.Time, error) {
	if err := s.coordinator().kill(); err != nil {
		return time.Time{}, err
	}
	store := filepath.Join(s.dir, "coordinator", server.StoreFile)
	if err := errors.Join(os.Remove(store), os.RemoveAll(store+".log")); err != nil {
		return time.Time{}, err
	}
	p := s.coordinator() // without its store it has to take over the prefix
	p.mu.Lock()
	p.env = append(slices.Clip(p.env), takeOverEnv+"=yes")
	p.mu.Unlock()
	return s.again("coordinator")
}

// result holds the findings of a campaign.
type result struct {
	*world.Result
	met map[string]int // number of sagas in flight, by fault
}

// campaign runs a system, injects n faults from the deck, waits until everything is at rest, and
// audits. bug is the planted bug.
func campaign(t *testing.T, bug string, deck []fault, n int) result {
	t.Helper()
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	form := ""
	if *cycles > 0 {
		form = fmt.Sprintf(" -reliability.cycles=%d", n)
	}
	t.Logf("seed %d; to repeat: go test -tags lab ./internal/lab/reliability -run '^%s$' -v -reliability.seed=%d%s", from, t.Name(), from, form)
	rng := rand.New(rand.NewPCG(from, 0))
	s := newSystem(t, bug)
	l := startLoad(t, s, from)
	began := time.Now()
	if err := l.AwaitMoving(began); err != nil {
		t.Fatal(err)
	}
	var made []cycle
	var stuck []world.Finding
	for i := 0; i < n && len(stuck) == 0; i++ {
		if i%len(deck) == 0 {
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		c, err := oneCycle(s, l, deck[i%len(deck)], rng)
		c.number = i + 1
		made = append(made, c)
		if err != nil {
			stuck = append(stuck, world.Stuck("", fmt.Sprintf("after fault %d, %s: %v", i+1, c.fault, err)))
		}
		if testing.Verbose() && (i+1)%50 == 0 {
			t.Logf("%d of %d faults, %s", i+1, n, short(time.Since(began)))
		}
	}
	l.finish()
	if bug == "" { // a planted bug may keep it from coming to rest
		stuck = append(stuck, s.comeToRest(t)...)
	}
	return conclude(t, s, l, made, stuck)
}

// oneCycle injects a fault at a random moment while a saga is in flight, and waits until sagas make
// progress again.
func oneCycle(s *system, l *load, f fault, rng *rand.Rand) (c cycle, err error) {
	world.Hold(between(rng, 20*time.Millisecond, 250*time.Millisecond))
	c = cycle{fault: f.name}
	if err := world.Poll("a saga is under way", func() bool { c.met = l.UnderWay(); return c.met > 0 }); err != nil {
		return c, err
	}
	c.made = time.Now()
	s.struck = ""
	c.fixed, err = f.make(s, rng)
	c.struck = s.struck
	if err == nil {
		err = world.Poll("a saga that was started after the fault has ended", func() bool {
			acked, ended := l.Resumed(c.fixed)
			if ended.IsZero() {
				if c.queues == "" && time.Since(c.fixed) > suspicious {
					c.queues = s.queuesNow()
				}
				return false
			}
			c.acked, c.ended = acked.Sub(c.fixed), ended.Sub(c.fixed)
			return true
		})
	}
	c.over = time.Now()
	return c, err
}

// comeToRest waits until nothing is in flight, and reports processes that still use the processor.
func (s *system) comeToRest(t *testing.T) (found []world.Finding) {
	t.Helper()
	if err := s.awaitDrained(); err != nil {
		found = append(found, world.Stuck("", err.Error()))
	}
	report, busy := s.atRest()
	t.Logf("at rest: %s", report)
	return append(found, busy...)
}

// conclude stops everything and audits.
func conclude(t *testing.T, s *system, l *load, made []cycle, found []world.Finding) result {
	t.Helper()
	var fell []string
	for _, name := range slices.Backward(s.names()) {
		p := s.processes[name]
		if err := p.terminate(); err != nil {
			found = append(found, world.Stuck("", err.Error()))
		}
		if p.fell > 0 {
			fell = append(fell, fmt.Sprintf("%s %d times, at last with %s", name, p.fell, p.how))
		}
	}
	audited, err := world.Examine(t.Context(), filepath.Join(s.dir, "coordinator", server.StoreFile), transferMoney, l.All(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	audited.Found = append(found, audited.Found...)
	r := result{audited, map[string]int{}}
	for _, c := range made {
		r.met[c.fault] += c.met
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%d faults, %s\n", len(made), audited)
	if len(fell) > 0 {
		fmt.Fprintf(&report, "ended by themselves and started again: %s\n", strings.Join(fell, "; "))
	}
	if len(made) > 0 {
		report.WriteString(table(r.Runs, made, r.Found))
		fmt.Fprintf(&report, "slower than %s:\n%s", goal, slow(made, goal))
		if len(r.Found) > 0 {
			fmt.Fprintf(&report, "the last faults:\n%s", slow(made[max(0, len(made)-len(faults)):], 0))
		}
	}
	t.Log(report.String())
	return r
}
