package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// numbers replays a log and returns the numbers of the records after a mark. It fails if Scan passes
// other records, returns another error, or changes the disk.
func numbers(o Options, from Mark) (list []uint64, err error) {
	var scanned []uint64
	last, torn, scanErr := scanUnchanged(o, from, add(&scanned))
	f, err := Open("", o)
	if err == nil {
		err = f.Replay(from, add(&list))
	}
	replayed := fmt.Sprint(list, err)
	scan := strings.Replace(fmt.Sprint(scanned, scanErr), "scan log", "replay log", 1)
	switch {
	case replayed != scan:
		return nil, fmt.Errorf("replay: %s; scan: %s", replayed, scan)
	case err == nil && (last != f.Last() || torn != f.Stats().Torn):
		return nil, fmt.Errorf("the scan ends at %+v with %d torn bytes; the replay at %+v with %d",
			last, torn, f.Last(), f.Stats().Torn)
	}
	return list, err
}

// add returns a function that verifies a record and adds its number to a list.
func add(list *[]uint64) func(Record) error {
	return func(r Record) error {
		if !bytes.Equal(r.Body, record(int(r.Number))) {
			return fmt.Errorf("record %d has different content", r.Number)
		}
		*list = append(*list, r.Number)
		return nil
	}
}

// scanUnchanged calls Scan while every change of the disk fails.
func scanUnchanged(o Options, from Mark, apply func(Record) error) (Mark, int64, error) {
	d := o.disk.(*memDisk)
	d.refuse = func(op string) error { return fmt.Errorf("a scan must not change the disk: %s", op) }
	defer func() { d.refuse = nil }()
	return scan("", from, o, apply)
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

// TestLaterFormat checks that a log with a segment of a later format is refused, and not taken for a damaged one.
func TestLaterFormat(t *testing.T) {
	d, o, f, _ := made(t, 20)
	for _, s := range f.segments[:f.used()] {
		b := d.names[s.name()].seen
		later := append([]byte(nil), b[:headerSize]...)
		later[len(magic)-1]++
		binary.LittleEndian.PutUint32(later[32:], headerSum(later))
		copy(b, later)
		if _, err := Open("", o); !errors.Is(err, ErrLater) || !strings.Contains(err.Error(), s.name()+" has format 2") {
			t.Errorf("%s: %v", s.name(), err)
		}
		copy(b, s.header.append(nil))
	}
	if _, err := Open("", o); err != nil {
		t.Error(err)
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

// TestScan checks that Scan reads the records and the torn one of a log in a real directory, and that
// it changes neither a byte nor a time there, even if the files can only be read.
func TestScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	id, err := Create(dir, Options{SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir, Options{SegmentSize: MinSegmentSize, still: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Replay(Mark{Log: id}, func(Record) error { return nil }), f.Begin(1)); err != nil {
		t.Fatal(err)
	}
	var marks []Mark
	for i := range 9 {
		mark, err := f.Append(record(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, mark)
	}
	tear := f.offset - 50 // in the last record
	if _, err := f.current.WriteAt(make([]byte, 20), tear); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	readOnly(t, dir)
	before := snapshot(t, dir)
	var list []uint64
	last, torn, err := Scan(dir, marks[4], add(&list))
	want := aligned(frameSize + int64(len(record(9))))
	if err != nil || last != marks[7] || torn != want || !slices.Equal(list, []uint64{6, 7, 8}) {
		t.Errorf("record %d, %d torn bytes, records %v, %v", last.Number, torn, list, err)
	}
	if _, _, err := Scan(dir, marks[8], add(&list)); !errors.Is(err, ErrBehind) {
		t.Errorf("after the torn record: %v", err)
	}
	stop := errors.New("stop")
	if _, _, err := Scan(dir, marks[4], func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a failed apply: %v", err)
	}
	if after := snapshot(t, dir); !slices.Equal(before, after) {
		t.Errorf("the directory was %v, and is %v", before, after)
	}
	if _, _, err := Scan(dir+"-2", marks[4], add(&list)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if _, err := Open(dir+"-2", Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("no log: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{}); !errors.Is(err, ErrMissing) || errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
}

// readOnly makes a directory and its files old, and takes the permission to write from them.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		err = errors.Join(err, os.Chmod(name, 0o400), os.Chtimes(name, time.Time{}, time.Unix(1e9, 0)))
	}
	if err = errors.Join(err, os.Chmod(dir, 0o500), os.Chtimes(dir, time.Time{}, time.Unix(1e9, 0))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
}

// snapshot returns the modes, times and checksums of a directory and its files.
func snapshot(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		if !entry.IsDir() {
			content, err = os.ReadFile(path)
		}
		list = append(list, fmt.Sprintf("%s %v %v %x", path, info.Mode(), info.ModTime(), sha256.Sum256(content)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEpochs checks that the epoch never decreases, and that the hash covers epoch, number, body and the hash before.
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
	if same := marks[2].next(7, record(4)); same == mark.Hash {
		t.Error("the body is not in the hash")
	}
	if same := (&Mark{Number: 2, Hash: marks[1].Hash}).next(7, record(3)); same == mark.Hash {
		t.Error("the hash before is not in the hash")
	}
	if list, err := numbers(o, marks[0]); err != nil || !slices.Equal(list, []uint64{1, 2, 3}) {
		t.Errorf("%v, %v", list, err)
	}
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

// TestOptions checks that settings that cannot be used are refused with what would be right.
func TestOptions(t *testing.T) {
	for _, o := range []Options{{SegmentSize: 1}, {SegmentSize: MaxSegmentSize + 1}, {Spares: -1}, {Spares: MaxSpares + 1}, {Spares: 3, Keep: 2}, {Keep: -1}} {
		_, err := Create(filepath.Join(t.TempDir(), "log"), o)
		if err == nil || !strings.Contains(err.Error(), "must be") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
