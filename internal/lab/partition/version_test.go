//go:build linux && lab

package partition

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/boltstore"
)

// released holds, for each release, a store that it wrote and the histories in that store.
const released = "testdata/released"

// record holds the recorded history of a saga, in the store's protobuf encoding.
type record struct {
	ID         contract.SagaID
	Phase      contract.Phase // informative
	Definition json.RawMessage
	Events     [][]byte
	State      []byte
}

// corpus lists the sagas of a released store by the state they are in.
var corpus = map[contract.SagaID]world.Transfer{
	"completed":   {From: 1, To: 2, Amount: 10},
	"compensated": {From: 2, To: 3, Amount: 20, Refuse: true},
	"parked":      {From: 3, To: 4, Amount: 30, Refuse: true, Lose: true},
	"abandoned":   {From: 3, To: 4, Amount: 40, Refuse: true, Lose: true},
	"running":     {From: 4, To: 5, Amount: 50},
	"undoing":     {From: 5, To: 6, Amount: 60},
}

// TestReleasedStores checks that stores written by earlier releases open, that the histories of
// their sagas fold to the recorded states (I8), and that the current coordinator completes the open
// sagas (I2). It checks a store written by the current code in the same way.
//
//	go test -tags lab ./internal/lab/partition -run TestReleasedStores -partition.release v0.1.0
//
// adds the current store to the corpus, when a release is made.
func TestReleasedStores(t *testing.T) {
	today := filepath.Join(t.TempDir(), "today")
	writeStore(t, today)
	if *asRelease != "" {
		if err := os.CopyFS(filepath.Join(released, *asRelease), os.DirFS(today)); err != nil {
			t.Fatal(err)
		}
	}
	dirs, err := filepath.Glob(released + "/v*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, today) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			checkHistories(t, dir)
			goOn(t, filepath.Join(dir, "store.zip"))
		})
	}
}

// goOn runs the current coordinator on a store until the open sagas have ended.
func goOn(t *testing.T, file string) {
	t.Helper()
	s := newStation(t)
	unpack(t, file, s.data)
	for id, r := range export(t, s.data) {
		checkRecord(t, id, r)
	}
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	bank := s.bank(t)
	asker := client.New(s.connect(t), client.RequestTimeout(time.Second))
	for id, want := range map[contract.SagaID]contract.Phase{
		"completed": contract.PhaseCompleted, "compensated": contract.PhaseCompensated, "parked": contract.PhaseParked,
		"abandoned": contract.PhaseParked, "running": contract.PhaseCompleted, "undoing": contract.PhaseCompensated,
	} {
		status, err := asker.Wait(t.Context(), id)
		if err != nil || status.Phase != want {
			t.Errorf("saga %s is %+v (%v), want %s", id, status, err, want)
		}
	}
	status, err := asker.Start(t.Context(), transferMoney, corpus["completed"], client.ID("completed"))
	if err != nil || !status.Existed {
		t.Errorf("starting a saga of the store again: %+v (%v)", status, err)
	}
	bank.terminate(t)
	c.terminate(t)
	for id, r := range export(t, s.data) {
		checkRecord(t, id, r)
	}
}

// checkHistories folds the histories recorded beside a store.
func checkHistories(t *testing.T, dir string) {
	t.Helper()
	for id := range corpus {
		text, err := os.ReadFile(filepath.Join(dir, string(id)+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if in := checkRecord(t, r.ID, &r); in.Phase != r.Phase {
			t.Errorf("%s: folds to %s, recorded is %s", id, in.Phase, r.Phase)
		}
	}
}

// checkRecord folds a history and compares the result with the recorded state.
func checkRecord(t *testing.T, id contract.SagaID, r *record) machine.Instance {
	t.Helper()
	def, err := saga.ParseJSON(r.Definition)
	if err != nil {
		t.Fatalf("saga %s: %v", id, err)
	}
	var events []machine.Event
	for _, data := range r.Events {
		e, err := sagapb.UnmarshalEvent(data)
		if err != nil {
			t.Fatalf("saga %s: %v", id, err)
		}
		events = append(events, *e)
	}
	stored, err := sagapb.UnmarshalInstance(r.State)
	if err != nil {
		t.Fatalf("saga %s: %v", id, err)
	}
	folded, err := machine.Fold(def.Plan(), events)
	if err != nil {
		t.Fatalf("saga %s: %v", id, err)
	}
	if diff := cmp.Diff(*stored, folded, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("saga %s folds to another state (-recorded +folded):\n%s", id, diff)
	}
	return folded
}

// export returns the histories of the sagas in a store.
func export(t *testing.T, data string) map[contract.SagaID]*record {
	t.Helper()
	s, err := boltstore.Open(filepath.Join(data, "sagas.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	definition, err := transferMoney.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	all := map[contract.SagaID]*record{}
	for id := range corpus {
		in, err := s.Load(t.Context(), id)
		if err != nil {
			t.Fatalf("saga %s: %v", id, err)
		}
		events, err := world.History(t.Context(), s, in)
		if err != nil {
			t.Fatal(err)
		}
		r := &record{ID: id, Phase: in.Phase, Definition: definition}
		for i := range events {
			e, err := sagapb.MarshalEvent(&events[i])
			if err != nil {
				t.Fatal(err)
			}
			r.Events = append(r.Events, e)
		}
		if r.State, err = sagapb.MarshalInstance(in); err != nil {
			t.Fatal(err)
		}
		all[id] = r
	}
	return all
}

// writeStore runs the sagas of the corpus, some to their end and some without a participant that
// answers. It saves their store and their histories to a directory.
func writeStore(t *testing.T, dir string) {
	t.Helper()
	s := newStation(t)
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	bank := s.bank(t)
	asker := client.New(s.connect(t), client.RequestTimeout(time.Second))
	begin := func(id contract.SagaID) {
		if _, err := asker.Start(t.Context(), transferMoney, corpus[id], client.ID(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []contract.SagaID{"completed", "compensated", "parked", "abandoned"} {
		begin(id)
		if _, err := asker.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := asker.Operate(t.Context(), "abandoned", api.Decision{Operation: "abandon", By: "a person", Reason: "settled by hand"}); err != nil {
		t.Fatal(err)
	}
	bank.terminate(t)
	begin("running")
	begin("undoing")
	if _, err := asker.Cancel(t.Context(), "undoing", api.Decision{By: "a person", Reason: "changed their mind"}); err != nil {
		t.Fatal(err)
	}
	c.terminate(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "store.zip"), pack(t, s.data))
	records := export(t, s.data)
	for _, id := range slices.Sorted(maps.Keys(records)) {
		text, err := json.MarshalIndent(records[id], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, string(id)+".json"), append(text, '\n'))
	}
}

// pack returns an archive of the store in a data directory: its state and its log.
func pack(t *testing.T, data string) []byte {
	t.Helper()
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	err := fs.WalkDir(os.DirFS(data), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path != "sagas.db" && filepath.Dir(path) != "sagas.db.log" {
			return err
		}
		content, err := os.ReadFile(filepath.Join(data, path))
		if err != nil {
			return err
		}
		w, err := z.Create(path)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

// unpack creates a data directory from a saved store.
func unpack(t *testing.T, file, data string) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(data, z); err != nil {
		t.Fatal(err)
	}
}

// TestLaterStore checks that a store of a later release is refused with a message that says what to
// do, and is not changed.
func TestLaterStore(t *testing.T) {
	today := t.TempDir()
	writeStore(t, today)
	s := newStation(t)
	unpack(t, filepath.Join(today, "store.zip"), s.data)
	file := filepath.Join(s.data, "sagas.db")
	db, err := bolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A value has four fields: the format, a checksum of bucket and key, a checksum of bucket, key,
	// format and body, and the body.
	table := crc32.MakeTable(crc32.Castagnoli)
	key, body := crc32.Checksum([]byte("metaschema"), table), []byte{99}
	framed := binary.BigEndian.AppendUint32([]byte{1}, key)
	framed = binary.BigEndian.AppendUint32(framed, crc32.Update(key^1, table, body))
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), append(framed, body...))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.coordinator(t, part{}).endsWith(t, 1, "written by a later release", "its layout is 99", "use the later release")
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a store that was refused has changed (%v)", err)
	}
}

// TestLaterParticipant checks that an answer from a later participant, with unknown attributes,
// headers and fields, is accepted (I9).
func TestLaterParticipant(t *testing.T) {
	s := newStation(t)
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	bus := s.connect(t)
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateConsumer(t.Context(), "SAGA_COMMANDS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := consumer.Consume(func(m jetstream.Msg) {
		answer := &nats.Msg{Subject: m.Headers().Get("ce-replyto"), Data: []byte(`7`), Header: nats.Header{}}
		for _, name := range []string{"ce-sagaid", "ce-birth", "ce-definition", "ce-step", "ce-direction", "ce-attempt"} {
			answer.Header[name] = m.Headers()[name]
		}
		answer.Header["ce-type"] = []string{"dev.amends.completed.v1"}
		answer.Header["ce-source"] = []string{"/later"}
		answer.Header["ce-id"] = []string{m.Headers().Get("ce-id") + "/answer"}
		answer.Header["ce-laterattribute"] = []string{"is%20not%20known"}
		answer.Header["Later-Header"] = []string{"neither"}
		if _, err := js.PublishMsg(t.Context(), answer); err == nil {
			_ = m.Ack()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Stop()
	asker := client.New(bus, client.RequestTimeout(time.Second))
	if _, err := asker.Start(t.Context(), transferMoney, world.Transfer{To: 1, Amount: 1}, client.ID("later")); err != nil {
		t.Fatal(err)
	}
	status, err := asker.Wait(t.Context(), "later")
	if err != nil || status.Phase != contract.PhaseCompleted {
		t.Errorf("%+v (%v)", status, err)
	}
	c.terminate(t)
}
