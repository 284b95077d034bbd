package log

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// made returns a begun log with records 1 to n, and n+1 marks: the start of the log, and one for each
// record.
func made(t testing.TB, n int) (*memDisk, Options, *File, []Mark) {
	t.Helper()
	d := newMemDisk(1)
	o := small
	o.disk = d
	o, err := o.withDefaults("")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(o, ID{1}); err != nil {
		t.Fatal(err)
	}
	marks := []Mark{{Log: ID{1}}}
	f := opened(t, o, marks[0], nil)
	for i := range n {
		mark, err := f.Append(record(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, mark)
	}
	return d, o, f, marks
}

// record returns a body of about 700 bytes.
func record(number int) []byte { return []byte(strings.Repeat(fmt.Sprintf("record %d ", number), 70)) }

// numbers replays a log and returns the numbers of the records after a mark.
func numbers(o Options, from Mark) (list []uint64, err error) {
	f, err := Open("", o)
	if err != nil {
		return nil, err
	}
	err = f.Replay(from, func(r Record) error {
		if !bytes.Equal(r.Body, record(int(r.Number))) {
			return fmt.Errorf("record %d has different content", r.Number)
		}
		list = append(list, r.Number)
		return nil
	})
	return list, err
}

// TestReplayBeginsAtAnyMark checks that exactly the records after a mark are replayed.
func TestReplayBeginsAtAnyMark(t *testing.T) {
	_, o, _, marks := made(t, 40)
	for i, from := range marks {
		list, err := numbers(o, from)
		if err != nil || len(list) != 40-i || len(list) > 0 && list[0] != uint64(i+1) {
			t.Errorf("after record %d: %v, %v", i, list, err)
		}
	}
}

// TestRefused checks that Replay refuses another log, a state that is older or newer than the log, and
// a state with another history. The error names the log or the record of the state.
func TestRefused(t *testing.T) {
	_, o, f, marks := made(t, 40)
	for name, test := range map[string]struct {
		mark func(Mark) Mark
		want error
		says string
	}{
		"another log":     {func(m Mark) Mark { m.Log = ID{2}; return m }, ErrForeign, ID{2}.String()},
		"another history": {func(m Mark) Mark { m.Hash[0]++; return m }, ErrAhead, "record 20"},
		"a later state":   {func(m Mark) Mark { m.Number += 1000; return m }, ErrBehind, "record 1020"},
	} {
		list, err := numbers(o, test.mark(marks[20]))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if len(list) > 0 {
			t.Errorf("%s: %d records were replayed", name, len(list))
		}
	}
	f.Release(30)
	for f.keepOne() {
	}
	if _, err := numbers(o, marks[5]); !errors.Is(err, ErrAhead) {
		t.Errorf("a state older than the first segment: %v", err)
	}
	if list, err := numbers(o, marks[30]); err != nil || len(list) != 10 {
		t.Errorf("after the released records: %v, %v", list, err)
	}
}

// TestDamage flips one bit in each byte of the used segments in turn. Then either all records are
// replayed, or all but the last one, or Open or Replay returns ErrDamaged and names the segment.
func TestDamage(t *testing.T) {
	d, o, f, marks := made(t, 12)
	used := f.used()
	refused, cut, unharmed := 0, 0, 0
	for _, s := range f.segments[:used] {
		content := d.names[s.name()].seen
		for at := range content {
			content[at] ^= 1 << (at % 8)
			list, err := numbers(o, marks[0])
			content[at] ^= 1 << (at % 8)
			switch {
			case errors.Is(err, ErrDamaged) && strings.Contains(err.Error(), s.name()):
				refused++
			case err != nil:
				t.Fatalf("%s, byte %d: %v", s.name(), at, err)
			case len(list) == 11:
				cut++
			case len(list) == 12:
				unharmed++
			default:
				t.Fatalf("%s, byte %d: %d records", s.name(), at, len(list))
			}
		}
	}
	if last := int(aligned(frameSize + int64(len(record(12))))); refused == 0 || unharmed == 0 || cut > last {
		t.Errorf("%d refused, %d cut, %d unharmed; the last record has %d bytes", refused, cut, unharmed, last)
	}
}

// TestLostSegment removes each segment but the first in turn, including the spare. The error names it.
func TestLostSegment(t *testing.T) {
	d, o, f, marks := made(t, 40)
	for _, s := range f.segments[1:] { // the first one holds only a header
		file := d.names[s.name()]
		delete(d.names, s.name())
		list, err := numbers(o, marks[0])
		if err == nil || !strings.Contains(err.Error(), s.name()) {
			t.Errorf("without %s: %d records, %v", s.name(), len(list), err)
		}
		d.names[s.name()] = file
	}
}

// TestReusedSegment checks that no frame that remains from a segment's previous use is accepted.
func TestReusedSegment(t *testing.T) {
	d, o, f, marks := made(t, 40)
	mark := marks[40]
	for round := range 5 {
		for i := range 40 {
			var err error
			if mark, err = f.Append(record(41 + 40*round + i)); err != nil {
				t.Fatal(err)
			}
			f.Release(mark.Number - 8)
			for f.keepOne() {
			}
		}
	}
	if n := len(f.segments); n > 8 {
		t.Errorf("there are %d segments", n)
	}
	spare := d.names[f.segments[f.used()].name()].seen
	if !bytes.Contains(spare, []byte("record ")) {
		t.Fatal("the spare was never used before")
	}
	if list, err := numbers(o, mark); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestFullDisk checks that, on a full disk, Append first uses up the spares and then fails without
// writing anything, and that it succeeds again as soon as there is room.
func TestFullDisk(t *testing.T) {
	d, o, f, marks := made(t, 1)
	for f.keepOne() {
	}
	d.room = 0
	n := 1
	var err error
	for ; err == nil; n++ {
		_, err = f.Append(record(n + 1))
	}
	if n -= 1; !errors.Is(err, ErrFull) || n < 10 {
		t.Fatalf("after %d records: %v", n, err)
	}
	if _, err := f.Append(make([]byte, 3*MinSegmentSize)); !errors.Is(err, ErrFull) {
		t.Errorf("a divided record: %v", err)
	}
	d.room = 1
	if _, err := f.Append(record(n + 1)); err != nil {
		t.Errorf("with room for a segment: %v", err)
	}
	if list, err := numbers(o, marks[0]); err != nil || len(list) != n+1 {
		t.Errorf("%d records of %d, %v", len(list), n+1, err)
	}
}

// TestBroken checks that no record is appended after a failure of the disk, whether Append or the
// keeper met it. Only a full disk is a temporary failure.
func TestBroken(t *testing.T) {
	for _, op := range []string{"write", "sync", "create", "rename", "remove", "sync directory"} {
		d, o, f, marks := made(t, 3)
		failed, times := errors.New("input/output error"), 0
		d.refuse = func(name string) error {
			if name == op && times == 0 { // only once, because an operating system may report a failure only once
				times++
				return failed
			}
			return nil
		}
		acked, err := 3, error(nil)
		for ; err == nil && acked < 200; acked++ {
			var mark Mark
			if mark, err = f.Append(record(acked + 1)); err == nil {
				if acked%60 == 0 {
					f.Release(mark.Number) // enough that some segments are removed
				}
				for f.keepOne() {
				}
			}
		}
		acked--
		d.refuse = nil
		if op == "create" && err == nil {
			continue // the keeper retried successfully before Append needed the segment
		}
		if !errors.Is(err, ErrBroken) || !errors.Is(err, failed) {
			t.Errorf("%s: %v", op, err)
		}
		if _, err := f.Append(record(5)); !errors.Is(err, ErrBroken) {
			t.Errorf("after a failed %s: %v", op, err)
		}
		if op == "write" || op == "sync" { // these fail before the first Release
			if list, err := numbers(o, marks[0]); err != nil || len(list) < acked {
				t.Errorf("after a failed %s: %d of %d records, %v", op, len(list), acked, err)
			}
		}
	}
}

// TestKeeperBeside appends and releases while the keeper creates, reuses and removes segments in the
// background, with so few spares that Append has to do so too.
func TestKeeperBeside(t *testing.T) {
	d := newMemDisk(1)
	o := small
	o.disk, o.still = d, false
	o, err := o.withDefaults("")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(o, ID{1}); err != nil {
		t.Fatal(err)
	}
	f := opened(t, o, Mark{Log: ID{1}}, nil)
	var saved Mark
	for i := range 3000 {
		mark, err := f.Append(record(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			saved = mark
			f.Release(mark.Number)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d.cut()
	if list, err := numbers(o, saved); err != nil || len(list) != 3000-int(saved.Number) {
		t.Errorf("after record %d: %v, %v", saved.Number, list, err)
	}
}

// TestFileIsALog creates, opens, appends to and closes a log in a real directory, while the keeper
// runs.
func TestFileIsALog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	id, err := Create(dir, Options{SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second Create: %v", err)
	}
	saved, want := Mark{Log: id}, 0
	for range 4 {
		f, err := Open(dir, Options{SegmentSize: MinSegmentSize})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		if err := f.Replay(saved, func(r Record) error { got = append(got, r.Number); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != want {
			t.Fatalf("%d records, want %d", len(got), want)
		}
		if err := f.Begin(1); err != nil {
			t.Fatal(err)
		}
		saved = f.Last()
		for i := range 50 {
			mark, err := f.Append(record(i))
			if err != nil {
				t.Fatal(err)
			}
			if i == 20 {
				saved = mark
				f.Release(mark.Number)
			}
		}
		want = 29
		if s := f.Stats(); s.Records != 50 || s.Syncs < 50 || s.Spares < 1 {
			t.Errorf("%+v", s)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Append(nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestEpochs checks that the epoch never decreases, and that epoch and number are part of the hash.
func TestEpochs(t *testing.T) {
	_, o, f, marks := made(t, 2)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Replay(marks[0], func(Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := g.Begin(0); err == nil {
		t.Error("Begin accepts a lower epoch")
	}
	if err := g.Begin(7); err != nil {
		t.Fatal(err)
	}
	mark, err := g.Append(record(3))
	if err != nil || mark.Epoch != 7 || mark.Number != 3 {
		t.Errorf("%+v, %v", mark, err)
	}
	if same := marks[2].next(1, record(3)); same == mark.Hash {
		t.Error("the epoch is not in the hash")
	}
	if later := (&Mark{Number: 9, Hash: marks[2].Hash}); later.next(7, record(3)) == mark.Hash {
		t.Error("the number is not in the hash")
	}
	if list, err := numbers(o, marks[0]); err != nil || !slices.Equal(list, []uint64{1, 2, 3}) {
		t.Errorf("%v, %v", list, err)
	}
}

// TestTornDividedRecord stops the process at each operation while it appends a record of four parts,
// by a kill or by a power cut. The record is then there as a whole or not at all, even after further
// records are appended.
func TestTornDividedRecord(t *testing.T) {
	whole, torn := 0, 0
	for fuse := range 24 {
		for _, cut := range []bool{false, true} {
			d, o, f, marks := made(t, 3)
			d.rand = rand.New(rand.NewPCG(uint64(fuse), 2))
			d.fuse = fuse
			func() {
				defer func() {
					d.fuse = -1
					if p := recover(); p != nil && p != any(killed{}) {
						panic(p)
					}
				}()
				_, _ = f.Append(bytes.Repeat([]byte{7}, 3*MinSegmentSize))
			}()
			if cut {
				d.cut()
			}
			last := uint64(3)
			for range 2 {
				n := last
				g := opened(t, o, marks[3], func(r Record) error { n = r.Number; return nil })
				if n < last {
					t.Fatalf("stopped at operation %d: replay ended at record %d, want at least %d", fuse, n, last)
				}
				if last == 3 && n == 4 {
					whole++
				} else if last == 3 && g.stats.Torn > 0 {
					torn++
				}
				mark, err := g.Append(record(9))
				if err != nil {
					t.Fatal(err)
				}
				last = mark.Number
			}
			opened(t, o, marks[0], nil) // discarded parts are skipped
		}
	}
	if whole == 0 || torn == 0 {
		t.Errorf("whole %d times, torn %d times", whole, torn)
	}
}

// TestChain checks that a frame that does not continue the previous record is damage, although its
// checksums are valid.
func TestChain(t *testing.T) {
	for name, spoil := range map[string]func(*frame){
		"another history":  func(f *frame) { f.before[0]++ },
		"an earlier epoch": func(f *frame) { f.epoch = 0 },
		"a later record":   func(f *frame) { f.number++ },
		"a later part":     func(f *frame) { f.part, f.parts = 2, 2 },
	} {
		d, o, f, marks := made(t, 3)
		segment := f.segments[f.used()-1]
		odd := frame{part: 1, parts: 1, epoch: 1, number: 4, before: marks[3].Hash}
		spoil(&odd)
		copy(d.names[segment.name()].seen[f.offset:], appendFrame(nil, f.id, segment.number, f.offset, &odd, record(4)))
		if _, err := numbers(o, marks[0]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFrameIsBoundToItsPlace checks that a frame is valid in its log, its segment and at its offset,
// and nowhere else.
func TestFrameIsBoundToItsPlace(t *testing.T) {
	b := appendFrame(nil, ID{1}, 2, 88, &frame{part: 1, parts: 1, epoch: 1, number: 4}, record(4))
	for name, valid := range map[string]bool{
		"there":           has(parseFrame(b, ID{1}, 2, 88)),
		"another log":     !has(parseFrame(b, ID{2}, 2, 88)),
		"another segment": !has(parseFrame(b, ID{1}, 3, 88)),
		"another offset":  !has(parseFrame(b, ID{1}, 2, 96)),
		"cut":             !has(parseFrame(b[:len(b)-alignment], ID{1}, 2, 88)),
	} {
		if !valid {
			t.Error(name)
		}
	}
}

func has(_ frame, _ []byte, ok bool) bool { return ok }

// TestSizes checks that a segment shorter than MinSegmentSize is refused, and that segments may have
// different sizes.
func TestSizes(t *testing.T) {
	d, o, f, marks := made(t, 3)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o.SegmentSize *= 4
	g := opened(t, o, marks[3], nil)
	for g.keepOne() {
	}
	for i := range 30 { // into the larger ones
		if _, err := g.Append(record(4 + i)); err != nil {
			t.Fatal(err)
		}
	}
	o.SegmentSize = MinSegmentSize
	h := opened(t, o, marks[3], nil)
	if err := h.reserve(3); err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // from larger segments into smaller ones
		if _, err := h.Append(make([]byte, 2*MinSegmentSize)); err != nil {
			t.Fatalf("record %d, larger than the segments to come: %v", i, err)
		}
	}
	spare := d.names[segmentName(h.last())]
	spare.seen = spare.seen[:100]
	if _, err := Open("", o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "100 bytes") {
		t.Errorf("a spare of 100 bytes: %v", err)
	}
}

// TestCloseWaits checks that Close waits for a segment that is being created, and that no further one
// is created after it.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, o, f, marks := made(t, 3)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		going := make(chan struct{})
		o.still, o.Spares, o.Keep = false, 5, 5
		g, err := Open("", o)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Replay(marks[3], func(Record) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := g.reserve(1); err != nil {
			t.Fatal(err)
		}
		d.refuse = func(op string) error {
			if op == "create" {
				<-going
			}
			return nil
		}
		if err := g.Begin(1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the keeper is creating a segment
		closed := false
		go func() { _ = g.Close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Error("Close returned while a segment was being created")
		}
		close(going)
		synctest.Wait()
		if !closed || g.last() > 8 {
			t.Errorf("closed: %t; the last segment is %d", closed, g.last())
		}
	})
}

// TestOrderOfCalls checks that a call that comes too early or twice is refused, because it would
// write a log that cannot be read.
func TestOrderOfCalls(t *testing.T) {
	_, o, f, marks := made(t, 2)
	none := func(Record) error { return nil }
	if err := f.Begin(1); err == nil {
		t.Error("a second Begin succeeded")
	}
	if err := f.Replay(marks[2], none); err == nil {
		t.Error("a second Replay succeeded")
	}
	g, err := Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Begin(1); err == nil {
		t.Error("Begin succeeded without Replay")
	}
	if err := g.Replay(marks[0], none); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Append(nil); err == nil {
		t.Error("Append succeeded without Begin")
	}
}

// TestKeep checks that released segments are recycled up to Options.Keep, and others are removed.
func TestKeep(t *testing.T) {
	for _, keep := range []int{1, 6} {
		_, o, f, marks := made(t, 100)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		o.Keep = keep
		g := opened(t, o, marks[100], nil)
		g.Release(100)
		for g.keepOne() {
		}
		if s := g.Stats(); s.Spares != keep+1 || s.Segments != keep+2 {
			t.Errorf("Keep %d leaves %d spares of %d segments, want %d and one in use", keep, s.Spares, s.Segments, keep+1)
		}
	}
}

// TestOptions checks that settings that cannot be used are refused with what would be right.
func TestOptions(t *testing.T) {
	for _, o := range []Options{{SegmentSize: 1}, {SegmentSize: MaxSegmentSize + 1}, {Spares: -1}, {Spares: MaxSpares + 1}, {Spares: 3, Keep: 2}, {Keep: -1}} {
		_, err := Create(filepath.Join(t.TempDir(), "log"), o)
		if err == nil || !strings.Contains(err.Error(), "must be") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
