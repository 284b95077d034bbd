//go:build linux && crashpoints && lab

package reliability

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

var (
	lanes = flag.Int("reliability.lanes", 8, "crash points: how many systems run side by side")
	share = flag.Int("reliability.share", 1, "crash points: take every nth one, from where the seed says")
)

// TestCrashPoints kills a process with SIGKILL at every crash point, restarts it, and audits the
// result once all sagas have ended (I1 to I5, I8). The test fails if a crash point is never
// reached.
func TestCrashPoints(t *testing.T) {
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	var chosen []*crash
	for i, c := range crashes() {
		if (uint64(i)+from)%uint64(*share) == 0 && (*only == "" || strings.Contains(string(c.point), *only)) {
			chosen = append(chosen, c)
		}
	}
	t.Logf("seed %d, %d of %d deaths; to repeat: go test -tags lab,crashpoints ./internal/lab/reliability -run '^%s$' -v -reliability.share=%d -reliability.seed=%d",
		from, len(chosen), len(crashes()), t.Name(), *share, from)
	all := die(t, "", chosen)
	for _, n := range all {
		for _, f := range n.found {
			t.Errorf("%s: saga %s (%s): %s", f.Kind, f.Saga, n.point(f.Saga), f.What)
		}
	}
	t.Log(crashTable(t, all, chosen))
	for _, point := range crashpoint.All {
		if !slices.ContainsFunc(crashes(), func(c *crash) bool { return c.point == point }) {
			t.Errorf("nobody dies at %s; give it a situation in crashpoint_case_test.go", point)
		}
	}
	for _, c := range chosen {
		if !c.died {
			t.Errorf("nobody died at %s#%d", c.point, c.visit)
		}
	}
}

// die runs the chosen crashes in parallel lanes and audits them. bug is the planted bug.
func die(t *testing.T, bug string, chosen []*crash) []*lane {
	t.Helper()
	t.Setenv(crashRolesEnv, "1")
	var all []*lane
	for range min(*lanes, len(chosen)) {
		all = append(all, newLane(t, bug))
	}
	var running sync.WaitGroup
	var taken atomic.Int64
	for _, n := range all {
		running.Go(func() {
			for i := taken.Add(1); i <= int64(len(chosen)); i = taken.Add(1) {
				n.crash(chosen[i-1])
			}
			n.rest(t.Context())
		})
	}
	running.Wait()
	return all
}

// TestCrashPointsCanFail checks that the audit finds two planted bugs. One is an inbox that
// forgets; its participant is killed where only the inbox prevents a second effect. The other is a
// store that reports commits as durable too early, so that commands are sent, answers acknowledged
// and callers answered before the commit.
func TestCrashPointsCanFail(t *testing.T) {
	for _, bug := range []struct {
		name   string
		deaths []crash
		kind   string
	}{
		{"forgetful", []crash{{point: after("inbox", "Update"), visit: 3, owner: "clearing"}, {point: before("bus", "Publish"), visit: 1, owner: "clearing"}}, "doubled"},
		{"hasty", []crash{{point: after("request", "Reply"), visit: 1, owner: "coordinator"}}, "lost"},
	} {
		t.Run(bug.name, func(t *testing.T) {
			var chosen []*crash
			for i := range bug.deaths {
				bug.deaths[i].make = underLoad
				chosen = append(chosen, &bug.deaths[i])
			}
			var found []world.Finding
			for _, n := range die(t, bug.name, chosen) {
				found = append(found, n.found...)
			}
			if !slices.ContainsFunc(found, func(f world.Finding) bool { return f.Kind == bug.kind }) {
				t.Errorf("it was not noticed; found %v", found)
			}
		})
	}
}

// rounds is how often a crash point is tried until it is reached. On a busy machine, the eight
// systems miss the moment of a few points several times in a row.
const rounds = 12

// crash causes one crash and waits until the system has recovered.
func (n *lane) crash(c *crash) {
	began := time.Now()
	for range rounds {
		if err := c.make(n, c); err != nil {
			n.note(world.Stuck("", fmt.Sprintf("%s#%d: %v", c.point, c.visit, err)))
			break
		}
		if c.died {
			break
		}
	}
	for _, name := range n.s.names() {
		if err := n.s.processes[name].awaitReady(); err != nil {
			n.note(world.Stuck("", fmt.Sprintf("after %s#%d: %v", c.point, c.visit, err)))
		}
	}
	if took := time.Since(began); testing.Verbose() && took > 4*time.Second {
		n.t.Logf("%s#%d took %s", c.point, c.visit, short(took))
	}
}

// rest waits until nothing is in flight, stops everything, and audits.
func (n *lane) rest(ctx context.Context) {
	for _, c := range []error{n.s.awaitDrained(), n.terminate()} {
		if c != nil {
			n.note(world.Stuck("", c.Error()))
		}
	}
	if err := n.audit(ctx); err != nil {
		n.note(world.Lost("", err.Error()))
	}
}

func (n *lane) terminate() (err error) {
	for _, name := range slices.Backward(n.s.names()) {
		err = errors.Join(err, n.s.processes[name].terminate())
	}
	return err
}

// audit audits the store and the books.
func (n *lane) audit(ctx context.Context) error {
	runs := n.all()
	s, err := boltstore.Open(filepath.Join(n.s.dir, "coordinator", server.StoreFile), boltstore.Options{OnCorrupt: func(err error) {
		n.note(world.Lost("", err.Error()))
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Verify(ctx); err != nil {
		return err
	}
	fates := world.Fates{}
	for i := range runs {
		r := &runs[i]
		in, err := s.Load(ctx, r.ID)
		stone, removed := errors.AsType[*store.TombstoneError](err)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case removed: // the tool removed it together with its history
			fates[r.ID] = world.Fate{Phase: stone.Phase, Revision: r.Told.Revision, Ended: true}
		case err != nil:
			return err
		default:
			fates[r.ID] = world.Fate{Phase: in.Phase, Revision: in.Revision, Ended: !in.Open()}
			if what := world.Unlike(ctx, s, transferMoney, in); what != "" {
				n.note(world.Lost(r.ID, what))
			}
		}
	}
	var b world.Books
	err = readBolt(&b, filepath.Join(n.s.dir, "bank"))
	for _, name := range world.Participants[1:] {
		err = errors.Join(err, b.Read(ctx, filepath.Join(n.s.dir, name), name))
	}
	if err != nil {
		return err
	}
	for _, f := range world.Audit(runs, fates, b) {
		n.note(f)
	}
	return nil
}

// crashTable lists the result of every crash.
func crashTable(t *testing.T, all []*lane, chosen []*crash) string {
	visits := map[crashpoint.Point]int{}
	for _, n := range all {
		files, _ := filepath.Glob(filepath.Join(n.s.dir, "*.visits"))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			for name := range strings.SplitSeq(string(data), "\n") {
				visits[crashpoint.Point(name)]++
			}
		}
	}
	counts, total := map[*crash]*row{}, &row{}
	for _, n := range all {
		for _, f := range n.found {
			total.count(f)
			if c := n.of[f.Saga]; c != nil {
				if counts[c] == nil {
					counts[c] = &row{}
				}
				counts[c].count(f)
			}
		}
	}
	var b strings.Builder
	sagas, died := 0, 0
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\npoint\tprocess\tat visit\tvisits\tdied\tlost\tdoubled\tstuck")
	for _, c := range chosen {
		r, times := counts[c], 0
		if r == nil {
			r = &row{}
		}
		if c.died {
			times = 1
			died++
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", c.point, c.owner, c.visit, visits[c.point], times, r.lost, r.doubled, r.stuck)
	}
	for _, n := range all {
		sagas += len(n.runs)
	}
	_ = w.Flush()
	fmt.Fprintf(&b, "%d points, %d of %d deaths, %d sagas: %d lost, %d doubled, %d stuck\n",
		len(crashpoint.All), died, len(chosen), sagas, total.lost, total.doubled, total.stuck)
	return b.String()
}
