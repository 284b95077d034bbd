//go:build linux && lab

package partition

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
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

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/sagapb"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
)

// current is the directory of what this release writes down. It changes when the
// layout of the store does; the directories of earlier releases stay.
const current = "testdata/layout-1"

// record is the recorded history of a saga: what a store keeps, as protobuf.
type record struct {
	ID         contract.SagaID
	Phase      contract.Phase // for readers
	Definition []byte
	Events     [][]byte
	State      []byte
}

// golden are the sagas of the golden store, by how they stand.
var golden = map[contract.SagaID]transfer{
	"completed":   {From: 1, To: 2, Amount: 10},
	"compensated": {From: 2, To: 3, Amount: 20, Refuse: true},
	"parked":      {From: 3, To: 4, Amount: 30, Refuse: true, Lose: true},
	"abandoned":   {From: 3, To: 4, Amount: 40, Refuse: true, Lose: true},
	"running":     {From: 4, To: 5, Amount: 50},
	"undoing":     {From: 5, To: 6, Amount: 60},
}

// TestGoldenStore: the stores that releases have written open, their sagas' histories
// fold to their states (I8), and those that have not ended go on and end, in a
// coordinator of today (I2).
//
//	go test -tags lab ./internal/partition -run TestGoldenStore -partition.rewrite
//
// writes the store and the histories of this release anew.
func TestGoldenStore(t *testing.T) {
	if *rewrite {
		rewriteGolden(t)
	}
	files, err := filepath.Glob("testdata/*/sagas.db.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no golden store (%v)", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			s := newStation(t)
			unpack(t, file, s.data)
			for id, r := range export(t, s.data) {
				checkRecord(t, id, r)
			}
			c := s.coordinator(t, part{})
			c.awaitReady(t)
			bank := s.bank(t)
			asker := client.New(s.connect(t), client.Timeout(time.Second))
			for id, want := range map[contract.SagaID]contract.Phase{
				"completed": contract.Completed, "compensated": contract.Compensated, "parked": contract.Parked,
				"abandoned": contract.Parked, "running": contract.Completed, "undoing": contract.Compensated,
			} {
				status, err := asker.Wait(t.Context(), id)
				if err != nil || status.Phase != want {
					t.Errorf("saga %s is %+v (%v), want %s", id, status, err, want)
				}
			}
			status, err := asker.Start(t.Context(), transferMoney, golden["completed"], client.ID("completed"))
			if err != nil || !status.Existed {
				t.Errorf("starting a saga of the golden store again: %+v (%v)", status, err)
			}
			bank.terminate(t)
			c.terminate(t)
			for id, r := range export(t, s.data) {
				checkRecord(t, id, r)
			}
		})
	}
}

// TestRecordedHistories folds the histories that releases have recorded to the
// states they recorded (I8).
func TestRecordedHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no recorded histories (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		in := checkRecord(t, r.ID, &r)
		if in.Phase != r.Phase {
			t.Errorf("%s: folds to %s, recorded is %s", file, in.Phase, r.Phase)
		}
	}
}

// checkRecord folds a history and compares it with its recorded state.
func checkRecord(t *testing.T, id contract.SagaID, r *record) saga.Instance {
	t.Helper()
	def, err := sagapb.UnmarshalDefinition(r.Definition)
	if err != nil {
		t.Fatalf("saga %s: %v", id, err)
	}
	var events []saga.Event
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
	folded, err := saga.Fold(def, events)
	if err != nil {
		t.Fatalf("saga %s: %v", id, err)
	}
	if diff := cmp.Diff(*stored, folded, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("saga %s folds to another state (-recorded +folded):\n%s", id, diff)
	}
	return folded
}

// export reads the histories of a store's sagas.
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
	definition, err := sagapb.MarshalDefinition(transferMoney)
	if err != nil {
		t.Fatal(err)
	}
	all := map[contract.SagaID]*record{}
	for id := range golden {
		in, err := s.Load(t.Context(), id)
		if err != nil {
			t.Fatalf("saga %s: %v", id, err)
		}
		events, err := history(t.Context(), s, in)
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

// rewriteGolden runs the golden sagas: some to their end, some without anybody who
// answers.
func rewriteGolden(t *testing.T) {
	t.Helper()
	s := newStation(t)
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	bank := s.bank(t)
	asker := client.New(s.connect(t), client.Timeout(time.Second))
	begin := func(id contract.SagaID) {
		if _, err := asker.Start(t.Context(), transferMoney, golden[id], client.ID(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []contract.SagaID{"completed", "compensated", "parked", "abandoned"} {
		begin(id)
		if _, err := asker.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := asker.Operate(t.Context(), "abandoned", transport.Operation{Verb: "abandon", By: "a person", Reason: "settled by hand"}); err != nil {
		t.Fatal(err)
	}
	bank.terminate(t)
	begin("running")
	begin("undoing")
	if _, err := asker.Cancel(t.Context(), "undoing", "a person", "changed their mind"); err != nil {
		t.Fatal(err)
	}
	c.terminate(t)
	if err := os.MkdirAll(current, 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := os.ReadFile(filepath.Join(s.data, "sagas.db"))
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(db)
	_ = z.Close()
	write(t, filepath.Join(current, "sagas.db.gz"), zipped.Bytes())
	records := export(t, s.data)
	for _, id := range slices.Sorted(maps.Keys(records)) {
		text, err := json.MarshalIndent(records[id], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(current, string(id)+".json"), append(text, '\n'))
	}
}

// unpack makes a data directory of a golden store.
func unpack(t *testing.T, file, data string) {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	store, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "sagas.db"), store)
}

// TestLaterStore: a store of a later release is refused with a message that says
// what to do, and is left as it is.
func TestLaterStore(t *testing.T) {
	s := newStation(t)
	unpack(t, current+"/sagas.db.gz", s.data)
	file := filepath.Join(s.data, "sagas.db")
	db, err := bolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A value is framed: format, checksum of bucket and key, checksum of these and
	// the body, body.
	table := crc32.MakeTable(crc32.Castagnoli)
	key, body := crc32.Checksum([]byte("metaschema"), table), []byte{99}
	framed := binary.BigEndian.AppendUint32([]byte{1}, key)
	framed = binary.BigEndian.AppendUint32(framed, crc32.Update(key, table, body))
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
	s.coordinator(t, part{}).endsWith(t, 1, "written by a later release", "its layout is 99", "use that release")
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a store that was refused has changed (%v)", err)
	}
}

// TestLaterParticipant: an answer with attributes, headers and fields that this
// release does not know, as a later participant may send, is taken (I9).
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
	asker := client.New(bus, client.Timeout(time.Second))
	if _, err := asker.Start(t.Context(), transferMoney, transfer{To: 1, Amount: 1}, client.ID("later")); err != nil {
		t.Fatal(err)
	}
	status, err := asker.Wait(t.Context(), "later")
	if err != nil || status.Phase != contract.Completed {
		t.Errorf("%+v (%v)", status, err)
	}
	c.terminate(t)
}
