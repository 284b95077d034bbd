package log

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// machine simulates a process that appends to a log, saves a state derived from it, and is killed or
// loses power at any operation. It also records what was acknowledged.
type machine struct {
	t     *rapid.T
	disk  *memDisk
	f     *File
	saved Mark     // of the saved state; saving is atomic here, as in a database
	state [][]byte // the records up to saved
	marks []Mark   // of the appended records that are not saved yet
	acked [][]byte // all acknowledged records, from the first
	going []byte   // the record being appended; nil if there is none
}

var small = Options{SegmentSize: MinSegmentSize, Spares: 1, Keep: 2, still: true}

// TestCrashes checks I2 at every operation of the disk: after any kill or power cut, the log holds
// every acknowledged record, and at most one more: the one that was being appended.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{t: t, disk: newMemDisk(rapid.Uint64().Draw(t, "seed"))}
		m.make()
		m.start()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m.step()
		}
		m.restart(true)
	})
}

func (m *machine) make() {
	o := small
	o.disk = m.disk
	o, _ = o.withDefaults("")
	id := ID{1}
	if err := write(o, id); err != nil {
		m.t.Fatal(err)
	}
	m.saved = Mark{Log: id}
}

// step performs one random action, during which the process may be killed.
func (m *machine) step() {
	if rapid.IntRange(0, 3).Draw(m.t, "dies") == 0 {
		m.disk.fuse = rapid.IntRange(0, 5).Draw(m.t, "at operation")
	}
	cut := rapid.Bool().Draw(m.t, "by a power cut")
	defer func() {
		p := recover()
		if _, dies := p.(killed); p != nil && !dies {
			panic(p)
		}
		m.disk.fuse = -1
		if p != nil {
			m.restart(cut)
		}
	}()
	switch rapid.SampledFrom([]string{"append", "append", "append", "save", "keep", "restart"}).Draw(m.t, "step") {
	case "append":
		m.append()
	case "save":
		if n := len(m.marks); n > 0 {
			k := rapid.IntRange(0, n-1).Draw(m.t, "how many later records are not saved")
			m.save(m.marks[n-1-k])
			m.marks = m.marks[n-k:]
			m.f.Release(m.saved.Number)
		}
	case "keep":
		for m.f.keepOne() {
		}
	case "restart":
		panic(killed{})
	}
}

func (m *machine) append() {
	n := rapid.SampledFrom([]int{0, 1, 100, 1500, 3000, 4032, 4033, 9000}).Draw(m.t, "size")
	m.going = make([]byte, n)
	for i := range m.going {
		m.going[i] = byte(m.disk.rand.IntN(256))
	}
	mark, err := m.f.Append(m.going)
	if err != nil {
		m.t.Fatalf("append %d bytes: %v", n, err)
	}
	m.acked, m.marks, m.going = append(m.acked, m.going), append(m.marks, mark), nil
}

func (m *machine) save(mark Mark) {
	m.saved, m.state = mark, m.acked[:mark.Number:mark.Number]
}

// restart opens the log again after a kill or a power cut, and repeats that if it is killed meanwhile.
func (m *machine) restart(cut bool) {
	if cut {
		m.disk.cut()
	}
	if rapid.IntRange(0, 5).Draw(m.t, "dies again") == 0 {
		m.disk.fuse = rapid.IntRange(0, 4).Draw(m.t, "at operation")
	}
	again := func() (again bool) {
		defer func() {
			p := recover()
			if _, again = p.(killed); p != nil && !again {
				panic(p)
			}
		}()
		m.start()
		return false
	}()
	m.disk.fuse = -1
	if again {
		m.restart(rapid.Bool().Draw(m.t, "by a power cut"))
	}
}

func (m *machine) start() {
	o := small
	o.disk = m.disk
	scanned := uint64(len(m.state))
	last, torn, err := scanUnchanged(o, m.saved, func(Record) error { scanned++; return nil })
	if err != nil {
		m.t.Fatal(err)
	}
	f, err := Open("", o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.f = f
	all := m.state
	if err := f.Replay(m.saved, func(r Record) error {
		if r.Number != uint64(len(all))+1 {
			m.t.Fatalf("got record %d, want record %d", r.Number, len(all)+1)
		}
		all = append(all, bytes.Clone(r.Body))
		return nil
	}); err != nil {
		m.t.Fatalf("%v; %d acknowledged, %d saved", err, len(m.acked), len(m.state))
	}
	switch {
	case last != f.Last(), torn != f.Stats().Torn, scanned != uint64(len(all)):
		m.t.Fatalf("the scan ended at record %d of %d with %d torn bytes; the replay at %d of %d with %d",
			last.Number, scanned, torn, f.Last().Number, len(all), f.Stats().Torn)
	case len(all) < len(m.acked):
		m.t.Fatalf("only %d of %d acknowledged records were recovered", len(all), len(m.acked))
	case len(all) > len(m.acked)+1, len(all) > len(m.acked) && (m.going == nil || !bytes.Equal(all[len(m.acked)], m.going)):
		m.t.Fatalf("recovered %d records, but %d were acknowledged and the rest is not the one being appended", len(all), len(m.acked))
	}
	for i := range m.acked {
		if !bytes.Equal(all[i], m.acked[i]) {
			m.t.Fatalf("record %d has different content", i+1)
		}
	}
	if len(all) > len(m.acked) {
		m.acked = append(m.acked, m.going)
	}
	m.going, m.marks = nil, nil
	if rapid.Bool().Draw(m.t, "saved before Begin") {
		m.save(f.Last())
		f.Release(m.saved.Number)
	}
	if err := f.Begin(1); err != nil {
		m.t.Fatal(err)
	}
}

// TestModelFindsALyingDisk checks that TestCrashes can fail: if syncs do nothing, the model of the
// disk loses acknowledged records.
func TestModelFindsALyingDisk(t *testing.T) {
	lost := 0
	for seed := range uint64(20) {
		d := newMemDisk(seed)
		o := small
		o.disk = d
		o, _ = o.withDefaults("")
		if err := write(o, ID{1}); err != nil {
			t.Fatal(err)
		}
		f := opened(t, o, Mark{Log: ID{1}}, nil)
		before := map[*memFile][]byte{}
		for _, file := range d.names {
			before[file] = bytes.Clone(file.saved)
		}
		for i := range 3 {
			if _, err := f.Append(fmt.Append(nil, i, rand.Uint64())); err != nil {
				t.Fatal(err)
			}
		}
		for file, saved := range before {
			file.saved = saved
		}
		d.cut()
		g, err := Open("", o)
		n := 0
		if err == nil {
			err = g.Replay(Mark{Log: ID{1}}, func(Record) error { n++; return nil })
		}
		if err != nil || n < 3 {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no record was lost, although syncs did nothing")
	}
}

// opened opens a log, replays it into each, and calls Begin.
func opened(t testing.TB, o Options, from Mark, each func(Record) error) *File {
	t.Helper()
	f, err := Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	if each == nil {
		each = func(Record) error { return nil }
	}
	if err := f.Replay(from, each); err != nil {
		t.Fatal(err)
	}
	if err := f.Begin(1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
