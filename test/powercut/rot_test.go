//go:build linux && lab

package powercut

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/transport"
)

// sample holds the undamaged files of a store, all that can be read from it, and the next inputs.
type sample struct {
	files   map[string][]byte          // by their paths below the store's directory
	states  map[contract.SagaID]string // digests
	events  map[contract.SagaID][]byte // histories, as stored
	pending map[outbox.ID][]byte       // as stored
	earlier map[outbox.ID][]byte       // pending at the checkpoint: all that is known of a saga whose state is damaged
	next    []coordinator.Input        // one for every saga that waits for an answer
	then    map[contract.SagaID]string // digests after the inputs of next
}

// verdicts counts the results for damaged files and for the sagas in them.
type verdicts struct {
	refused  int // refused by Open
	broke    int // failed at the next commit
	detected int // some sagas were reported as damaged, and the others continued
	harmless int
	sick     int // sagas reported as damaged
	sound    int // sagas that continued in a file with a damaged one
}

// TestRot damages the file. Every saga is either reported as damaged or unchanged, the others
// continue, and no wrong value is ever returned.
func TestRot(t *testing.T) {
	began := time.Now()
	rng := rngOf(*seed, "rot")
	f := newSample(t)
	want := form(*flips, 250, 40)
	var ofState, ofLog verdicts
	for n := range want {
		name, sum := storeFile, &ofState
		if rng.IntN(3) == 0 {
			name, sum = f.segment(rng), &ofLog
		}
		data, what := spoil(f.files[name], rng)
		if err := f.compare(t.Context(), f.write(t, name, data), sum); err != nil {
			t.Errorf("seed %d, damage %d, %s in %s: %v", *seed, n, what, name, err)
		}
		if t.Failed() {
			break
		}
	}
	for what, sum := range map[string]verdicts{"state": ofState, "log": ofLog} {
		t.Logf("seed %d: %s of %d sagas damaged: %d stores refused, %d broke at the next commit, %d with some sagas refused (%d, while %d others went on), %d harmless, 0 wrong values; %s",
			*seed, what, len(f.states), sum.refused, sum.broke, sum.detected, sum.sick, sum.sound, sum.harmless, time.Since(began).Round(time.Millisecond))
	}
	if ofState.refused == 0 || ofState.detected == 0 || ofState.sound == 0 || ofLog.refused == 0 {
		t.Error("the damage is not seen: the test does not bite")
	}
}

// segment draws a segment of the log that holds records.
func (f *sample) segment(rng *rand.Rand) string {
	var used []string
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		if name != storeFile && len(bytes.Trim(f.files[name][sector:], "\x00")) > 0 {
			used = append(used, name)
		}
	}
	return used[rng.IntN(len(used))]
}

// write writes the files of the store, one of them with other content, and returns the path of the state.
func (f *sample) write(t *testing.T, changed string, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, storeFile+".log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, whole := range f.files {
		if name == changed {
			whole = data
		}
		if err := os.WriteFile(filepath.Join(dir, name), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, storeFile)
}

// spoil damages a copy of the file in one of four ways.
func spoil(file []byte, rng *rand.Rand) (data []byte, what string) {
	data = bytes.Clone(file)
	at := rng.IntN(len(data))
	switch rng.IntN(10) {
	case 0:
		return data[:at], "cut off"
	case 1:
		for i := at / sector * sector; i < min(at/sector*sector+sector, len(data)); i++ {
			data[i] = byte(rng.Uint32())
		}
		return data, "a sector of noise"
	case 2:
		clear(data[at/sector*sector : min(at/sector*sector+sector, len(data))])
		return data, "a sector of zeros"
	default:
		data[at] ^= 1 << rng.IntN(8)
		return data, "a flipped bit"
	}
}

func newSample(t *testing.T) *sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), storeFile)
	options := boltstore.Options{MapSize: 1, CheckpointAge: time.Hour, Log: small.Log}
	s, err := boltstore.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.PutDefinition(t.Context(), storedTrip()); err != nil {
		t.Fatal(err)
	}
	w := &worker{store: s, name: "rot", rng: rngOf(*seed, "sample"), say: new(bytes.Buffer)}
	if err := w.run(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	earlier := pendingOf(t, s)
	if err := w.run(t.Context(), 20); err != nil { // these changes are in the log only
		t.Fatal(err)
	}
	// Damage that reaches the last record cannot be told from a torn record, so the last records say
	// nothing of sagas. Together they are larger than a sector.
	for range 10 {
		if err := s.SetClock(t.Context(), store.Clock{}); err != nil {
			t.Fatal(err)
		}
	}
	f := &sample{states: map[contract.SagaID]string{}, events: map[contract.SagaID][]byte{}, pending: pendingOf(t, s), earlier: earlier, then: map[contract.SagaID]string{}}
	f.files = filesOf(t, filepath.Dir(path))
	list, _, err := s.List(t.Context(), store.Filter{}, store.Page{Limit: store.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range list {
		f.states[line.ID], f.events[line.ID], err = read(t.Context(), s, line.ID)
		if err != nil {
			t.Fatal(err)
		}
	}
	waiting := map[contract.SagaID]bool{}
	err = outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		if e := &r.Envelope; r.Answered() && !waiting[e.Saga] {
			waiting[e.Saga] = true
			f.next = append(f.next, coordinator.Input{Saga: e.Saga, Event: machine.Event{
				Type: contract.EventStepAnswered, At: time.Now().Round(0).Add(time.Hour), Participant: "agency",
				Step: e.Step, Direction: e.Direction, Attempt: e.Attempt, Outcome: contract.OutcomeCompleted, Payload: []byte(`1`),
			}})
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	results, err := f.goOn(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if results[i].Err != nil || results[i].Ignored != "" {
			t.Fatalf("saga %s: %v %s", f.next[i].Saga, results[i].Err, results[i].Ignored)
		}
		f.then[f.next[i].Saga] = digest(results[i].Instance)
	}
	return f
}

// filesOf returns the files below a directory, by their paths.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files[name], err = os.ReadFile(filepath.Join(dir, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// goOn answers every saga that waits.
func (f *sample) goOn(ctx context.Context, s store.Store) ([]coordinator.Result, error) {
	engine, err := coordinator.NewEngine(ctx, s, transport.Subjects{}, []byte("secret"), 64)
	if err != nil {
		return nil, err
	}
	out, err := engine.Step(ctx, f.next)
	return out.Results, err
}

// read returns a saga's state as a digest, and its history as stored.
func read(ctx context.Context, s store.Store, id contract.SagaID) (state string, history []byte, err error) {
	in, err := s.Load(ctx, id)
	if err != nil {
		return "", nil, err
	}
	events, err := s.History(ctx, id, 1, 0)
	if err != nil {
		return "", nil, err
	}
	for i := range events {
		data, err := sagapb.MarshalEvent(&events[i])
		if err != nil {
			return "", nil, err
		}
		history = append(history, data...)
	}
	return digest(in), history, nil
}

// pendingOf returns the pending records of a store, as stored.
func pendingOf(t *testing.T, s store.Store) map[outbox.ID][]byte {
	t.Helper()
	pending := map[outbox.ID][]byte{}
	err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		pending[r.ID] = recordBytes(&r)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return pending
}

func recordBytes(r *outbox.Record) []byte {
	data, err := outboxpb.MarshalRecord(r)
	if err != nil {
		panic(err) // cannot fail: it was stored
	}
	return data
}

// compare opens a damaged file and continues with it. It returns an error for a wrong value, for a
// saga or an entry that is missing without a report, and for a refusal that does not report damage.
func (f *sample) compare(ctx context.Context, path string, sum *verdicts) (err error) {
	reports := 0
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1, Log: small.Log, OnCorrupt: func(error) { reports++ }})
	if errors.Is(err, boltstore.ErrDamaged) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, log.ErrDamaged) {
		sum.refused++
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	sick := map[contract.SagaID]bool{}
	for id := range f.states {
		state, history, err := read(ctx, s, id)
		switch {
		case errors.Is(err, store.ErrCorrupt):
			sick[id] = true
		case err != nil:
			return err
		case state != f.states[id] || !bytes.Equal(history, f.events[id]):
			return errors.New("saga " + string(id) + " is not what it was")
		}
	}
	pending := 0
	var wrong error
	err = outbox.All(ctx, s, func(_ outbox.Position, r outbox.Record) bool {
		body := recordBytes(&r)
		if pending++; !bytes.Equal(body, f.pending[r.ID]) && !(sick[r.ID.Saga] && bytes.Equal(body, f.earlier[r.ID])) {
			wrong = errors.New("outbox record " + r.ID.String() + " is not what it was")
		}
		return true
	})
	if wrong != nil || err != nil && !errors.Is(err, store.ErrCorrupt) {
		return errors.Join(wrong, err)
	}
	if err == nil && pending < len(f.pending) && reports == 0 {
		return errors.New("an outbox record is missing, and nobody was told")
	}
	return f.compareNext(ctx, s, sick, &reports, sum)
}

// compareNext answers every saga.
func (f *sample) compareNext(ctx context.Context, s store.Store, sick map[contract.SagaID]bool, reports *int, sum *verdicts) error {
	results, err := f.goOn(ctx, s)
	if errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrCorrupt) {
		sum.broke++
		return nil
	}
	if err != nil {
		return err
	}
	went := 0
	for i, r := range results {
		switch id := f.next[i].Saga; {
		case errors.Is(r.Err, store.ErrCorrupt), errors.Is(r.Err, coordinator.ErrUnknownDefinition) && *reports > 0:
			sick[id] = true
		case r.Err != nil:
			return r.Err
		case r.Ignored != "" || digest(r.Instance) != f.then[id]:
			return errors.New("saga " + string(id) + " went on otherwise than it should " + string(r.Ignored))
		default:
			went++
		}
	}
	if len(sick) == 0 && *reports == 0 {
		sum.harmless++
		return nil
	}
	sum.detected++
	sum.sick += len(sick)
	sum.sound += went
	return nil
}
