package log

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

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

// TestTornDividedRecord stops the process at each operation while it appends a record of four parts,
// by a kill or by a power cut. The record is then there as a whole or not at all, even after further
// records are appended.
func TestTornDividedRecord(t *testing.T) {
	whole, torn, most := 0, 0, int64(0)
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
					torn, most = torn+1, max(most, g.stats.Torn)
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
	if whole == 0 || torn == 0 || most < 2*MinSegmentSize {
		t.Errorf("whole %d times, torn %d times, with at most %d bytes discarded", whole, torn, most)
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
	b := appendFrame(nil, ID{1}, 2, headerSize, &frame{part: 1, parts: 1, epoch: 1, number: 4}, record(4))
	for name, valid := range map[string]bool{
		"there":           has(parseFrame(b, ID{1}, 2, headerSize)),
		"another log":     !has(parseFrame(b, ID{2}, 2, headerSize)),
		"another segment": !has(parseFrame(b, ID{1}, 3, headerSize)),
		"another offset":  !has(parseFrame(b, ID{1}, 2, headerSize+alignment)),
		"cut":             !has(parseFrame(b[:len(b)-alignment], ID{1}, 2, headerSize)),
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
	large := slices.IndexFunc(h.segments, func(s segment) bool { return s.begun && s.size > MinSegmentSize })
	used := d.names[h.segments[large].name()]
	whole := used.seen
	used.seen = used.seen[:len(used.seen)-1]
	if _, err := Open("", o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "instead of") {
		t.Errorf("a segment that has become shorter: %v", err)
	}
	used.seen = whole
	spare := d.names[segmentName(h.last())]
	spare.seen = spare.seen[:100]
	if _, err := Open("", o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "100 bytes") {
		t.Errorf("a spare of 100 bytes: %v", err)
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
