package log

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

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

// TestFullIsKnownEarly checks that Full reports a full disk while there are spares left, and that the keeper
// notices by itself that there is room again.
func TestFullIsKnownEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, o, f, marks := made(t, 1)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		o.still = false
		g := opened(t, o, marks[1], nil)
		synctest.Wait() // the keeper has made the spares
		d.mu.Lock()
		d.room = 0
		d.mu.Unlock()
		n, reserve := 1, 0
		for ; ; n++ {
			if g.Full() != nil {
				reserve++
			}
			if _, err := g.Append(record(n + 1)); errors.Is(err, ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if size := int64(reserve * len(record(1))); size < MinSegmentSize/2 {
			t.Errorf("Full was known only when %d records of %d fitted", reserve, n)
		}
		d.mu.Lock()
		d.room = -1
		d.mu.Unlock()
		time.Sleep(2 * fullRetry) // virtual
		if err := g.Full(); err != nil {
			t.Error(err)
		}
		if _, err := g.Append(record(n + 1)); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
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
				for op != "create" && f.keepOne() { // it would only try again to create a segment; Append must not
				}
			}
		}
		acked--
		d.refuse = nil
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

// TestFailedSync checks that a record whose sync has failed, and that the next process finds in the page cache, is
// either on disk before that process goes on, or not replayed.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(10) {
		d, o, f, marks := made(t, 3)
		d.rand = rand.New(rand.NewPCG(seed, 1))
		d.refuse = func(op string) error {
			if op == "sync" {
				return errors.New("input/output error")
			}
			return nil
		}
		if _, err := f.Append(record(4)); !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		d.refuse = nil
		g := opened(t, o, marks[0], nil)
		replayed := g.Last().Number
		d.cut()
		if list, err := numbers(o, marks[0]); err != nil || len(list) != int(replayed) {
			t.Fatalf("%d records of %d are left after a power cut, %v", len(list), replayed, err)
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
