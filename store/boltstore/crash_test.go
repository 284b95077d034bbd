//go:build !race

package boltstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestCrashes copies the files of a store, as a kill would leave them, between all steps of commits and
// checkpoints. The store that is opened from a copy must contain exactly what was committed: at the
// steps before the record was appended without the change that was being committed, and at the steps
// after it with the change.
func TestCrashes(t *testing.T) {
	var mu sync.Mutex
	steps := map[string]int{}
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				for _, i := range crash(t, seed) {
					mu.Lock()
					steps[i.step]++
					mu.Unlock()
				}
			})
		}
	})
	for _, step := range []string{"decided", "appended", "piece", "marked", "released"} {
		if steps[step] == 0 {
			t.Errorf("no crash at the step %q: %v", step, steps)
		}
	}
}

// crash makes random calls, and checks what is left at each crash.
func crash(t *testing.T, seed uint64) []image {
	c := &crashes{
		t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 1)), crash: rand.New(rand.NewPCG(seed, 2)), model: memstore.New(), before: memstore.New(),
		now: storetest.Epoch, latest: map[contract.SagaID]*machine.Instance{}, options: testOptions(Options{manual: true, pieceSagas: 2}),
	}
	o := c.options
	o.step = c.image
	var err error
	if c.store, err = Open(filepath.Join(c.dir, "sagas.db"), o); err != nil {
		t.Fatal(err)
	}
	defer c.store.abort()
	for range 80 {
		c.act()
	}
	for _, i := range c.images {
		c.compare(i)
	}
	return c.images
}

// crashes makes random calls to a store and to a model.
type crashes struct {
	t             *testing.T
	dir           string
	random        *rand.Rand
	mu            sync.Mutex
	crash         *rand.Rand // guarded by mu, as images
	options       Options
	store         *Store
	model, before *memstore.Store // with the change that is under way, and without it
	now           time.Time
	latest        map[contract.SagaID]*machine.Instance
	images        []image
}

// image is a copy of the files, and what a store opened from it must contain.
type image struct {
	step string
	path string
	want *memstore.Store
}

// image copies the files at a step, or not.
func (c *crashes) image(step string) {
	often := 2
	if step == "decided" || step == "appended" {
		often = 10
	}
	c.mu.Lock() // discards are committed beside other calls
	defer c.mu.Unlock()
	if c.crash.IntN(often) > 0 {
		return
	}
	want := c.model
	if step == "decided" {
		want = c.before
	}
	path := filepath.Join(c.dir, fmt.Sprintf("image-%d", len(c.images)))
	for _, name := range []string{"sagas.db", "sagas.db.log"} {
		if err := copyFiles(filepath.Join(path, name), filepath.Join(c.dir, name)); err != nil {
			c.t.Error(err)
		}
	}
	c.images = append(c.images, image{step, filepath.Join(path, "sagas.db"), want.Copy()})
}

// copyFiles copies a file, or a directory whose files are being renamed.
func copyFiles(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	}
	for {
		before, err := filepath.Glob(from + "/*")
		if err != nil {
			return err
		}
		failed := os.CopyFS(to, os.DirFS(from))
		after, err := filepath.Glob(from + "/*")
		if err != nil {
			return err
		}
		if slices.Equal(before, after) {
			return failed
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
}

func (c *crashes) id() contract.SagaID {
	return contract.SagaID(fmt.Sprintf("order-%d", c.random.IntN(6)))
}

// act makes one call.
func (c *crashes) act() {
	c.before = c.model.Copy()
	c.now = c.now.Add(time.Second)
	switch n := c.random.IntN(20); {
	case n < 13:
		var changes []store.Change
		for range 1 + c.random.IntN(3) {
			changes = append(changes, c.change())
		}
		if _, err := c.model.Commit(c.t.Context(), changes); err != nil {
			c.t.Fatal(err)
		}
		results, err := c.store.Commit(c.t.Context(), changes)
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range changes {
			if results[i] == nil {
				c.latest[changes[i].Instance.ID] = changes[i].Instance
			}
		}
	case n < 15:
		drop := c.now.Add(-time.Duration(c.random.IntN(20)) * time.Second)
		ended := c.now.Add(-time.Duration(c.random.IntN(10)) * time.Second)
		// Dropping and removing are two records.
		_, _, _ = c.model.Expire(c.t.Context(), time.Time{}, drop, 0)
		_, _, err := c.store.Expire(c.t.Context(), time.Time{}, drop, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		c.before = c.model.Copy()
		_, _, _ = c.model.Expire(c.t.Context(), ended, time.Time{}, 0)
		if _, _, err := c.store.Expire(c.t.Context(), ended, time.Time{}, 0); err != nil {
			c.t.Fatal(err)
		}
	case n < 17:
		for _, r := range pendingIn(c.t, c.model) {
			if c.random.IntN(3) == 0 {
				_ = c.model.Discard(c.t.Context(), []outbox.ID{r.ID})
				_ = c.store.Discard(c.t.Context(), []outbox.ID{r.ID})
			}
		}
	case n == 17:
		if err := c.store.onCheckpointer(c.t.Context(), func() error { return c.store.somePieces(c.random) }, func() {}); err != nil {
			c.t.Fatal(err)
		}
	default:
		if err := c.store.Checkpoint(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *crashes) change() store.Change {
	id := c.id()
	in := c.latest[id]
	switch {
	case in == nil || !in.Open():
		return storetest.Start(id, storetest.Checkout, c.now)
	case in.Phase == contract.PhaseParked:
		return storetest.Abandon(in, c.now)
	}
	moves := []func(*machine.Instance, time.Time) store.Change{
		storetest.Next, storetest.Next, storetest.Next, storetest.Reject, storetest.Park,
	}
	return moves[c.random.IntN(len(moves))](in, c.now)
}

// compare opens a store from an image, twice, with a checkpoint in between.
func (c *crashes) compare(i image) {
	for _, when := range []string{"opened", "after a checkpoint"} {
		s, err := Open(i.path, c.options)
		if err != nil {
			c.t.Fatalf("%s: %v", i.step, err)
		}
		if err := s.Verify(c.t.Context()); err != nil {
			c.t.Errorf("%s, %s: %v", i.step, when, err)
		}
		// A discard need not be durable.
		want := pendingIn(c.t, i.want)
		for _, r := range pendingIn(c.t, s) {
			if !slices.ContainsFunc(want, func(w outbox.Record) bool { return w.ID == r.ID }) {
				_ = s.Discard(c.t.Context(), []outbox.ID{r.ID})
			}
		}
		if want, got := c.content(i.want), c.content(s); !reflect.DeepEqual(want, got) { // much faster than cmp.Diff
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				c.t.Errorf("crashed when %s, %s (-model +store):\n%s", i.step, when, diff)
			}
		}
		if err := s.Checkpoint(c.t.Context()); err != nil {
			c.t.Error(err)
		}
		s.abort()
	}
}

func pendingIn(t testing.TB, s store.Store) (list []outbox.Record) {
	if err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		list = append(list, r)
		return true
	}); err != nil {
		t.Error(err)
	}
	return list
}

// contents is everything that a store shows.
type contents struct {
	States  []*machine.Instance
	Events  [][]machine.Event
	Errors  []string
	List    []store.Summary
	Counts  []store.Count
	Pending []outbox.Record
	Due     []contract.SagaID
}

func (c *crashes) content(s store.Store) contents {
	var ids []contract.SagaID
	for n := range 6 {
		ids = append(ids, contract.SagaID(fmt.Sprintf("order-%d", n)))
	}
	return contentsOf(c.t, s, ids, c.now)
}

func contentsOf(t testing.TB, s store.Store, ids []contract.SagaID, now time.Time) (all contents) {
	ctx := t.Context()
	for _, id := range ids {
		in, err := s.Load(ctx, id)
		events, _ := s.History(ctx, id, 0, 0)
		all.States, all.Events = append(all.States, in), append(all.Events, events)
		all.Errors = append(all.Errors, fmt.Sprint(err))
	}
	all.List, _, _ = s.List(ctx, store.Filter{}, store.Page{})
	all.Counts, _ = s.Counts(ctx)
	all.Pending = pendingIn(t, s)
	all.Due, _, _ = s.Due(ctx, now.Add(time.Hour), 0)
	return all
}
